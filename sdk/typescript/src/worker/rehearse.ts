/**
 * Dry replays by a worker that `polos replay` has started: it reaches no server, and answers over a
 * Unix socket, a frame a line, whether its code and each stored journal agree.
 */

import { connect, type Socket } from "node:net";
import { createInterface } from "node:readline";
import type { Definition } from "../definition.js";
import type { FromServer, FromWorker, Hello, Start } from "../protocol/frames.js";
import { parseJson, writeJson } from "../protocol/json.js";
import { Rehearsal } from "./rehearsal.js";

/** Names the socket of whoever wants dry replays. */
export const REPLAY_VARIABLE = "POLOS_REPLAY";

/** Answers dry replays until the other side is gone. */
export async function rehearse(
  path: string,
  hello: Hello,
  definitions: ReadonlyMap<string, Definition>,
): Promise<void> {
  const socket = await connected(path);
  const say = (frame: FromWorker) => void socket.write(`${writeJson(frame)}\n`);
  say({ type: "hello", body: hello });
  let rehearsal: Rehearsal | undefined;
  for await (const line of createInterface({ input: socket })) {
    const frame = parseJson(line) as FromServer;
    if (frame.type === "start") rehearsal = begin(frame.body, hello.build, definitions, say);
    else rehearsal?.take(frame);
    const replayed = await rehearsal?.goOn();
    if (!replayed) continue;
    rehearsal = undefined;
    say({ type: "replayed", body: replayed });
  }
  socket.destroy();
}

function begin(
  start: Start,
  build: string,
  definitions: ReadonlyMap<string, Definition>,
  say: (frame: FromWorker) => void,
): Rehearsal | undefined {
  const definition = definitions.get(start.workflow);
  if (definition) return new Rehearsal(start, definition.body, build, say);
  const message = `this worker does not run \`${start.workflow}\``;
  const finding = { result: "unchecked" as const, message };
  say({ type: "replayed", body: { run: start.run, build, finding } });
  return undefined;
}

function connected(path: string): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect(path);
    socket.once("connect", () => resolve(socket));
    socket.once("error", reject);
  });
}
