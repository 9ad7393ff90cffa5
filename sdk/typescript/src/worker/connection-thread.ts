/** The connection's thread: the file that a `Worker` of Node runs. */

import { parentPort, workerData } from "node:worker_threads";
import { Connection } from "./connection.js";
import type { ConnectionOptions, ToConnection } from "./messages.js";

const port = parentPort;
if (port) {
  const connection = new Connection(workerData as ConnectionOptions, (message) =>
    port.postMessage(message),
  );
  port.on("message", (message: ToConnection) => connection.take(message));
  void connection.run().then(() => {
    port.postMessage({ type: "stopped" });
    port.close();
  });
}
