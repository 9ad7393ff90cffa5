/** The worker: connects to a server, takes runs, runs their code and their steps. */

import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { Worker as Thread } from "node:worker_threads";
import { type Address, findAddress } from "./client/address.js";
import { type Definition, withParts } from "./definition.js";
import { Misuse, PolosError, WorkerRefused } from "./errors.js";
import { type Hello, type Kind, VERSIONS } from "./protocol/frames.js";
import { newId } from "./protocol/id.js";
import type { Queue } from "./queue.js";
import { queueConfig } from "./queue.js";
import { VERSION } from "./version.js";
import { Clock } from "./worker/clock.js";
import { host } from "./worker/host.js";
import type { ConnectionOptions, FromConnection, ToConnection } from "./worker/messages.js";
import { REPLAY_VARIABLE, rehearse } from "./worker/rehearse.js";
import { Runs } from "./worker/runs.js";

/** How many runs a worker takes at once unless it says otherwise. */
const SLOTS = 100;
/** How many pages of journals may be under way to it. */
const PAGES = 4;
/** How long a draining worker waits for its steps. */
const DRAIN_MS = 30_000;

const KINDS: Kind[] = [
  "step",
  "intent",
  "attempt",
  "open",
  "resolved",
  "emit",
  "lost",
  "marker",
  "cancel",
  "reset",
  "verb",
];

/** What a worker is made of. */
export interface WorkerOptions {
  /** The workflows, agents and tools that it runs. */
  definitions: readonly Definition[];
  /** Queues that the code declares. */
  queues?: readonly Queue[];
  /** The server's address; by default `POLOS_URL`, or the data directory's server. */
  url?: string;
  /** The API key; by default `POLOS_TOKEN`, or the data directory's token. */
  token?: string;
  /** A name for people; the machine's by default. */
  name?: string;
  /** The build of the code: change it whenever the code changes. By default `POLOS_BUILD_ID`. */
  build?: string;
  /** How many runs it takes at once, not counting those that wait; 100 unless said. */
  slots?: number;
  /** How long a stop waits for running steps, in milliseconds; 30,000 unless said. */
  drainMs?: number;
  /** Placement keys that it holds. */
  placements?: readonly string[];
  /** False to let the program end though the worker runs. */
  keepsAlive?: boolean;
  /** Where warnings go; standard error by default. */
  warn?: (message: string) => void;
}

/** A worker that runs. */
export class Worker {
  /** Its id, another for each process. */
  readonly id = newId("wrk");
  /** Settles once the worker has stopped; rejects if it cannot go on. */
  readonly stopped: Promise<void>;
  private readonly thread: Thread;
  private readonly runs: Runs;
  private readonly drainMs: number;
  private isConnected = false;
  private isStopping = false;
  private waiters: Array<() => void> = [];
  private settle: { resolve: () => void; reject: (error: Error) => void };

  constructor(options: WorkerOptions) {
    const { warn = warnToStderr } = options;
    const address = addressOf(options);
    const definitions = withParts(options.definitions);
    const byName = new Map(definitions.map((definition) => [definition.id, definition]));
    checkDefinitions(definitions, byName);
    this.drainMs = options.drainMs ?? DRAIN_MS;
    const clock = new Clock();
    const build = options.build ?? defaultBuild(definitions);
    const hello = helloOf(this.id, build, { ...options, definitions });
    let settle: Worker["settle"] | undefined;
    this.stopped = new Promise((resolve, reject) => {
      settle = { resolve, reject };
    });
    this.settle = settle as NonNullable<typeof settle>;
    // Whoever does not wait for the end is told by `connected` or by the log.
    this.stopped.catch(() => {});
    const workerData: ConnectionOptions = { ...address, hello, clock: clock.memory };
    this.thread = new Thread(new URL("./worker/connection-thread.js", import.meta.url), {
      workerData,
      name: "polos-connection",
    });
    const post = (message: ToConnection) => this.thread.postMessage(message);
    this.runs = new Runs({
      build,
      definitions: byName,
      clock,
      post,
      warn,
      onConnected: (isConnected) => this.connectionChanged(isConnected),
      onDrained: () => post({ type: "stop" }),
    });
    this.thread.on("message", (message: FromConnection) => this.take(message, warn));
    this.thread.on("error", (error) => this.settle.reject(error));
    this.thread.on("exit", () => this.settle.resolve());
    // Until the connection stands, somebody waits for it.
    if (options.keepsAlive === false) this.waiters.push(() => this.thread.unref());
  }

  /** Settles once the connection stands. */
  connected(): Promise<void> {
    if (this.isConnected) return Promise.resolve();
    return Promise.race([
      new Promise<void>((resolve) => this.waiters.push(resolve)),
      this.stopped.then(() => {
        throw new PolosError("the worker has stopped", { code: "worker" });
      }),
    ]);
  }

  /** Stops in good order: no new runs, waiting ones are parked, running steps end. */
  stop(): Promise<void> {
    if (!this.isStopping) {
      this.isStopping = true;
      setTimeout(() => this.thread.postMessage({ type: "stop" }), this.drainMs).unref();
      this.runs.drain();
    }
    return this.stopped;
  }

  private take(message: FromConnection, warn: (message: string) => void): void {
    if (message.type === "fatal") {
      this.settle.reject(new WorkerRefused(message.message, message.code));
      return;
    }
    if (message.type === "detached" && !this.isStopping) {
      warn(`the connection to the server is lost, trying again: ${message.why}`);
    }
    this.runs.take(message);
  }

  private connectionChanged(isConnected: boolean): void {
    this.isConnected = isConnected;
    if (!isConnected) return;
    for (const resolve of this.waiters.splice(0)) resolve();
  }
}

/**
 * Runs a worker until the process is asked to stop (SIGTERM, Ctrl-C), then drains it. Where
 * `polos replay` has started the process, answers dry replays instead, and reaches no server.
 */
export async function serve(options: WorkerOptions): Promise<void> {
  const replay = process.env[REPLAY_VARIABLE];
  if (replay) return rehearseAt(replay, options);
  const worker = new Worker(options);
  const stop = () => void worker.stop();
  process.once("SIGTERM", stop);
  process.once("SIGINT", stop);
  try {
    await worker.stopped;
  } finally {
    process.off("SIGTERM", stop);
    process.off("SIGINT", stop);
  }
}

function rehearseAt(socket: string, options: WorkerOptions): Promise<void> {
  const definitions = withParts(options.definitions);
  const byName = new Map(definitions.map((definition) => [definition.id, definition]));
  checkDefinitions(definitions, byName);
  const build = options.build ?? defaultBuild(definitions);
  const hello = helloOf(newId("wrk"), build, { ...options, definitions });
  return rehearse(socket, hello, byName);
}

function warnToStderr(message: string): void {
  process.stderr.write(`polos: ${message}\n`);
}

function addressOf(options: WorkerOptions): Address {
  const { url, token } = options;
  if (url !== undefined && token !== undefined) return { url, token };
  const found = findAddress();
  return { url: url ?? found.url, token: token ?? found.token };
}

function checkDefinitions(
  definitions: readonly Definition[],
  byName: ReadonlyMap<string, Definition>,
): void {
  if (definitions.length === 0) {
    throw new Misuse("the worker has nothing to run", "give it workflows: `definitions: […]`");
  }
  const twice = definitions.find((definition) => byName.get(definition.id) !== definition);
  if (twice) throw new Misuse(`\`${twice.id}\` is registered twice`, "rename one of them");
}

function helloOf(worker: string, build: string, options: WorkerOptions): Hello {
  const here = host();
  return {
    protocol: VERSIONS,
    features: [],
    kinds: KINDS,
    worker,
    name: options.name ?? `${here.name}-${here.pid}`,
    host: here,
    sdk: `typescript/${VERSION}`,
    build,
    connection: 0,
    definitions: options.definitions.map((definition) => definition.registered),
    queues: (options.queues ?? []).map(queueConfig),
    slots: Math.max(1, options.slots ?? SLOTS),
    placements: [...(options.placements ?? [])],
    held: [],
    pages: PAGES,
  };
}

/** Code that has changed is another build: the program's file and the workflows themselves. */
function defaultBuild(definitions: readonly Definition[]): string {
  const named = process.env.POLOS_BUILD_ID;
  if (named) return named;
  const hash = createHash("sha256");
  try {
    if (process.argv[1]) hash.update(readFileSync(process.argv[1]));
  } catch {
    // A program without a file (a REPL) is known by its workflows alone.
  }
  for (const definition of definitions) hash.update(definition.id).update(definition.source);
  return `js-${hash.digest("hex").slice(0, 12)}`;
}
