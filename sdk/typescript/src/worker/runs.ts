/** The runs of a worker: frames are handed to them, and what they say is handed on. */

import type { Definition } from "../definition.js";
import type { FromServer, RunRef, Start, Welcome } from "../protocol/frames.js";
import { parseJson } from "../protocol/json.js";
import { HOT_MS } from "../protocol/limits.js";
import { stored, takeBlob } from "../replay/blobs.js";
import { settings } from "../replay/machine.js";
import { recorded } from "../replay/send.js";
import { Askers } from "./askers.js";
import type { Clock } from "./clock.js";
import type { FromConnection, ToConnection } from "./messages.js";
import { Outbox } from "./outbox.js";
import { RunTask } from "./run-task.js";

/** What the runs need of their worker. */
export interface RunsOptions {
  build: string;
  definitions: ReadonlyMap<string, Definition>;
  clock: Clock;
  /** Says something to the connection's thread. */
  post: (message: ToConnection) => void;
  warn: (message: string) => void;
  onConnected: (isConnected: boolean) => void;
  /** The worker drains and has no runs any more. */
  onDrained: () => void;
}

export class Runs {
  private readonly outbox: Outbox;
  private readonly tasks = new Map<string, RunTask>();
  /** Who waits for which value. */
  private readonly askers = new Askers();
  private hotMs = HOT_MS;
  private isDraining = false;

  constructor(private readonly options: RunsOptions) {
    this.outbox = new Outbox((connection, texts) =>
      options.post({ type: "send", connection, texts }),
    );
  }

  get count(): number {
    return this.tasks.size;
  }

  take(message: FromConnection): void {
    switch (message.type) {
      case "welcome":
        this.welcomed(message.welcome, message.connection);
        break;
      case "frames":
        for (const text of message.texts) this.frame(parseJson(text) as FromServer);
        break;
      case "detached":
        this.options.onConnected(false);
        this.outbox.open(0);
        for (const task of this.all()) task.give((machine) => machine.detached());
        break;
      case "lease_lost":
        this.options.warn("the server was not heard for the lease: steps are stopped");
        for (const task of this.all()) task.loseLease();
        break;
      default:
        break;
    }
  }

  /** Tasks may end while they are told something. */
  private all(): RunTask[] {
    return [...this.tasks.values()];
  }

  private welcomed(welcome: Welcome, connection: number): void {
    this.hotMs = welcome.hot_ms;
    this.outbox.open(connection);
    this.options.onConnected(true);
    const kept = new Map((welcome.kept ?? []).map((kept) => [kept.run, kept]));
    for (const task of this.all()) {
      const mine = kept.get(task.run.run);
      if (mine && mine.assignment === task.run.assignment) {
        task.give((machine, now) => machine.attached(mine, now));
      } else {
        task.give((machine) => machine.forgotten());
      }
    }
  }

  private frame(frame: FromServer): void {
    switch (frame.type) {
      case "start":
        this.start(frame.body);
        break;
      case "append":
        this.task(frame.body)?.append(frame.body);
        break;
      case "recorded": {
        const { at, runs } = frame.body;
        this.options.clock.atLeast(at);
        for (const [run, assignment, n, seq] of runs) {
          this.task({ run, assignment })?.give((m, now) => recorded(m, n, seq, at, now));
        }
        break;
      }
      case "revoked":
        this.options.warn(`run \`${frame.body.run}\` was taken away: ${frame.body.message}`);
        this.task(frame.body)?.give((machine) => machine.forgotten());
        break;
      case "done":
        this.task(frame.body)?.give((machine) => machine.forgotten());
        break;
      case "blob": {
        const blob = frame.body;
        const isLast = blob.offset + Buffer.byteLength(blob.text) >= blob.size;
        const place = { isFirst: blob.offset === 0, isLast };
        for (const task of this.tasksOf(this.askers.piece(blob.hash, place))) {
          task.give((machine) => takeBlob(machine, blob));
        }
        break;
      }
      case "stored":
        for (const task of this.tasksOf(this.askers.kept(frame.body.hash))) {
          task.give((machine) => stored(machine, frame.body.hash));
        }
        break;
      case "drain":
        this.drain();
        break;
      default:
        break;
    }
  }

  private task(run: RunRef): RunTask | undefined {
    const task = this.tasks.get(run.run);
    return task?.run.assignment === run.assignment ? task : undefined;
  }

  private tasksOf(runs: string[]): RunTask[] {
    return runs.map((run) => this.tasks.get(run)).filter((task) => task !== undefined);
  }

  private start(start: Start): void {
    const run = { run: start.run, assignment: start.assignment };
    this.options.clock.atLeast(start.now);
    const definition = this.options.definitions.get(start.workflow);
    if (!definition || this.isDraining) {
      this.outbox.addFrame({ type: "release", body: run });
      return;
    }
    this.tasks.get(start.run)?.give((machine) => machine.forgotten());
    const { outbox } = this;
    const { clock, warn, post } = this.options;
    const { step_timeout_ms } = definition.registered;
    const task = new RunTask(
      start,
      definition.body,
      {
        ...settings(this.options.build),
        hotMs: this.hotMs,
        ...(step_timeout_ms === undefined ? {} : { stepTimeoutMs: step_timeout_ms }),
      },
      {
        outbox,
        clock,
        warn,
        onGone: (gone) => this.gone(gone),
        onWaits: ({ run, assignment }, taken, wait) =>
          post({ type: "waits", run, assignment, taken, wait }),
        onFetch: (hash) => this.askers.fetch(hash, start.run),
        onStore: (hash) => this.askers.store(hash, start.run),
      },
    );
    this.tasks.set(start.run, task);
    post({ type: "hold", ...run, seq: task.seq });
  }

  private gone(run: RunRef): void {
    if (this.task(run)) this.tasks.delete(run.run);
    this.options.post({ type: "drop", ...run });
    this.checkDrained();
  }

  private checkDrained(): void {
    if (this.isDraining && this.tasks.size === 0) this.options.onDrained();
  }

  /** No new runs; waiting ones are parked, running steps end. */
  drain(): void {
    if (!this.isDraining) {
      this.isDraining = true;
      this.options.post({ type: "drain" });
    }
    for (const task of this.all()) task.give((machine) => machine.drain());
    this.checkDrained();
  }
}
