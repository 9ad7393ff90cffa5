/**
 * Stands between a worker and its server: hears every frame of the worker's, and breaks the
 * connection off without a word when it is told to.
 */

import { createServer, type Server as HttpServer } from "node:http";
import { type RawData, WebSocket, WebSocketServer } from "ws";

export class Wiretap {
  /** The worker's frames, in the order sent, over all connections: type and body. */
  readonly frames: Array<{ type: string; body: { [name: string]: unknown } }> = [];
  private readonly http: HttpServer = createServer();
  private readonly sockets = new Set<WebSocket>();
  url = "";

  constructor(private readonly target: () => string) {
    const server = new WebSocketServer({ server: this.http, perMessageDeflate: false });
    server.on("connection", (worker, request) => {
      this.relay(worker, request.url ?? "", request.headers.authorization ?? "");
    });
  }

  async start(): Promise<void> {
    await new Promise<void>((resolve) => this.http.listen(0, "127.0.0.1", resolve));
    const bound = this.http.address();
    if (typeof bound === "object" && bound) this.url = `http://127.0.0.1:${bound.port}`;
  }

  private relay(worker: WebSocket, path: string, authorization: string): void {
    const url = this.target().replace(/^http/, "ws") + path;
    const server = new WebSocket(url, { headers: { authorization }, perMessageDeflate: false });
    const waiting: string[] = [];
    this.sockets.add(worker);
    worker.on("message", (data: RawData) => {
      const text = String(data);
      this.frames.push(JSON.parse(text));
      if (server.readyState === WebSocket.OPEN) server.send(text);
      else waiting.push(text);
    });
    server.on("open", () => {
      for (const text of waiting.splice(0)) server.send(text);
    });
    server.on("message", (data: RawData) => worker.send(String(data)));
    worker.on("close", () => {
      this.sockets.delete(worker);
      server.terminate();
    });
    server.on("close", () => worker.terminate());
    for (const socket of [worker, server]) socket.on("error", () => socket.terminate());
  }

  /** Breaks all connections off. */
  drop(): void {
    for (const socket of this.sockets) socket.terminate();
  }

  stop(): void {
    this.drop();
    this.http.close();
    this.http.closeAllConnections();
  }
}
