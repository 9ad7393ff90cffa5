/**
 * The connection to the server, on a thread of its own: a busy program must not look dead. It says
 * hello, answers pings, reconnects, and watches the lease.
 */

import { WebSocket } from "ws";
import type { FromServer, Hello, Welcome } from "../protocol/frames.js";
import { parseJson, writeJson } from "../protocol/json.js";
import { MESSAGE_BYTES_MAX } from "../protocol/limits.js";
import { Clock } from "./clock.js";
import { Held } from "./held.js";
import type { ConnectionOptions, FromConnection, ToConnection } from "./messages.js";

/** How long a connection and its welcome may take. */
const WELCOME_MS = 10_000;
/** The wait before the first attempt to connect again, and the longest one. */
const BACKOFF_MS = { first: 50, longest: 5_000 };
/** How long the last frames may take to leave when the worker stops. */
const FAREWELL_MS = 2_000;
/** How often the lease is looked at once it is lost. */
const LOST_POLL_MS = 50;

const PONG = '{"type":"pong","body":{}}';
const DRAIN = '{"type":"drain","body":{}}';
const PING = /^\s*\{\s*"type"\s*:\s*"ping"/;
const ERROR = /^\s*\{\s*"type"\s*:\s*"error"/;

/** How a connection ended. */
type Ended =
  | { how: "stopped" }
  | { how: "broken"; wasWelcomed: boolean; why: string }
  | { how: "fatal"; code: string; message: string };

export class Connection {
  private readonly clock: Clock;
  private readonly hello: Hello;
  private readonly held = new Held();
  private socket: WebSocket | undefined;
  private isWelcomed = false;
  private incarnation = 0;
  private isDraining = false;
  private isStopping = false;
  private wakeUp: (() => void) | undefined;
  private inbox: string[] = [];
  private leaseMs = 0;
  private silence: NodeJS.Timeout | undefined;

  constructor(
    private readonly options: ConnectionOptions,
    private readonly tell: (message: FromConnection) => void,
  ) {
    this.clock = new Clock(options.clock);
    this.hello = options.hello;
  }

  take(message: ToConnection): void {
    switch (message.type) {
      case "send":
        if (this.isWelcomed && message.connection === this.hello.connection) {
          for (const text of message.texts) this.socket?.send(text);
        }
        break;
      case "hold":
        this.held.hold(message.run, message.assignment, message.seq);
        break;
      case "drop":
        this.held.drop(message.run, message.assignment);
        break;
      case "waits":
        this.held.waits(message.run, message.assignment, message.taken, message.wait);
        break;
      case "drain":
        this.isDraining = true;
        if (this.isWelcomed) this.socket?.send(DRAIN);
        break;
      case "stop":
        this.stop();
        break;
    }
  }

  private stop(): void {
    this.isStopping = true;
    this.wakeUp?.();
    const { socket } = this;
    if (!socket) return;
    // What was sent before leaves first.
    socket.close(1000);
    setTimeout(() => socket.terminate(), FAREWELL_MS).unref();
  }

  /** Runs until the worker stops or the server refuses it for good. */
  async run(): Promise<void> {
    const watch = this.watchLease();
    await this.keepConnected();
    clearTimeout(watch.timer);
  }

  private async keepConnected(): Promise<void> {
    let wait = BACKOFF_MS.first;
    while (!this.isStopping) {
      this.hello.connection += 1;
      const ended = await this.connectOnce();
      this.isWelcomed = false;
      this.socket = undefined;
      this.flush();
      if (ended.how === "stopped") return;
      this.tell({ type: "detached", why: ended.how === "broken" ? ended.why : ended.message });
      if (ended.how === "fatal") {
        this.tell({ type: "fatal", code: ended.code, message: ended.message });
        return;
      }
      if (ended.wasWelcomed) wait = BACKOFF_MS.first;
      await this.pause(wait / 2 + (wait / 2) * Math.random());
      wait = Math.min(wait * 2, BACKOFF_MS.longest);
    }
  }

  private pause(ms: number): Promise<void> {
    if (this.isStopping) return Promise.resolve();
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms);
      this.wakeUp = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  private connectOnce(): Promise<Ended> {
    const { url, token } = this.options;
    const socket = new WebSocket(socketUrl(url), {
      headers: { authorization: `Bearer ${token}` },
      maxPayload: MESSAGE_BYTES_MAX,
      perMessageDeflate: false,
      handshakeTimeout: WELCOME_MS,
    });
    this.socket = socket;
    return new Promise((resolve) => {
      let fallen: Ended | undefined;
      const welcomed = setTimeout(() => end(this.broken("no welcome came")), WELCOME_MS);
      const end = (ended: Ended) => {
        fallen ??= ended;
        socket.terminate();
      };
      socket.on("open", () => socket.send(this.helloText()));
      socket.on("unexpected-response", (_request, response) => {
        let body = "";
        response.setEncoding("utf8");
        response.on("data", (text: string) => {
          if (body.length < 4096) body += text;
        });
        response.on("end", () => end(this.refused(response.statusCode ?? 0, body)));
      });
      socket.on("error", (error) => end(this.broken(error.message)));
      socket.on("message", (data) => {
        if (fallen) return;
        const text = String(data);
        if (!this.isWelcomed) {
          const ended = this.first(text);
          if (ended) return end(ended);
          clearTimeout(welcomed);
          this.watchSilence(end);
          return;
        }
        const ended = this.message(text);
        if (ended) end(ended);
      });
      socket.on("close", (_code, reason) => {
        clearTimeout(welcomed);
        clearTimeout(this.silence);
        if (this.isStopping && !fallen) return resolve({ how: "stopped" });
        const said = String(reason);
        resolve(fallen ?? this.broken(said === "" ? "the connection was closed" : said));
      });
    });
  }

  private broken(why: string): Ended {
    if (this.isStopping) return { how: "stopped" };
    return { how: "broken", wasWelcomed: this.isWelcomed, why };
  }

  private refused(status: number, body: string): Ended {
    let message = `the server answered ${status}`;
    let code = "worker";
    try {
      const { error } = JSON.parse(body) as { error: { code: string; message: string } };
      message = error.message;
      code = error.code;
    } catch {
      // The answer is not one of our server's: its status has to do.
    }
    const isFinal = [400, 401, 403, 404].includes(status);
    return isFinal ? { how: "fatal", code, message } : this.broken(message);
  }

  private helloText(): string {
    return writeJson({ type: "hello", body: { ...this.hello, held: this.held.list() } });
  }

  /** The first frame must be a welcome. */
  private first(text: string): Ended | undefined {
    const frame = parseJson(text) as FromServer;
    if (frame.type === "error") {
      const { code, message, hint } = frame.body;
      return { how: "fatal", code, message: hint ? `${message}\nhint: ${hint}` : message };
    }
    if (frame.type !== "welcome") return this.broken(`\`${frame.type}\` came, and no welcome`);
    return this.welcomed(frame.body);
  }

  private welcomed(welcome: Welcome): Ended | undefined {
    if (welcome.incarnation < this.incarnation) {
      const message =
        `the server's store is incarnation ${welcome.incarnation}, but this worker has worked ` +
        `with incarnation ${this.incarnation}\nhint: a backup was restored; restart the worker`;
      return { how: "fatal", code: "older_store", message };
    }
    this.incarnation = welcome.incarnation;
    this.clock.set(welcome.now);
    this.clock.welcomed(welcome.lease_ms);
    this.leaseMs = welcome.lease_ms;
    this.isWelcomed = true;
    this.tell({ type: "welcome", connection: this.hello.connection, welcome });
    if (this.isDraining) this.socket?.send(DRAIN);
    return undefined;
  }

  private message(text: string): Ended | undefined {
    if (!this.clock.isLeased()) return this.broken("this process was paused beyond its lease");
    this.clock.heard(this.leaseMs);
    if (PING.test(text)) {
      this.socket?.send(PONG);
    } else if (ERROR.test(text)) {
      const frame = parseJson(text) as FromServer & { type: "error" };
      return this.broken(`${frame.body.code}: ${frame.body.message}`);
    } else {
      this.held.read(text);
      this.inbox.push(text);
      if (this.inbox.length === 1) setImmediate(() => this.flush());
    }
    return undefined;
  }

  /** Hands over all frames that came in one turn of the loop. */
  private flush(): void {
    if (this.inbox.length === 0) return;
    const texts = this.inbox;
    this.inbox = [];
    this.tell({ type: "frames", texts });
  }

  /** Ends a connection on which nothing was heard for the lease. */
  private watchSilence(end: (ended: Ended) => void): void {
    const wait = Math.max(this.clock.leaseLeftMs(), 1);
    this.silence = setTimeout(() => {
      if (this.clock.leaseLeftMs() > 0) this.watchSilence(end);
      else end(this.broken("the server has been silent for its lease"));
    }, wait);
  }

  /** Says once when the lease ends unheard. */
  private watchLease(): { timer: NodeJS.Timeout } {
    const watch: { timer: NodeJS.Timeout } = { timer: setTimeout(() => {}, 0) };
    let said = true;
    const look = () => {
      let wait = LOST_POLL_MS;
      if (this.clock.isLeased()) {
        said = false;
        wait = Math.max(this.clock.leaseLeftMs(), 1);
      } else if (!said) {
        said = true;
        this.tell({ type: "lease_lost" });
      }
      watch.timer = setTimeout(look, wait);
    };
    look();
    return watch;
  }
}

function socketUrl(url: string): string {
  const { protocol, host, pathname } = new URL(url.includes("://") ? url : `http://${url}`);
  const scheme = protocol === "https:" || protocol === "wss:" ? "wss" : "ws";
  return `${scheme}://${host}${pathname.replace(/\/+$/, "")}/v1/worker`;
}
