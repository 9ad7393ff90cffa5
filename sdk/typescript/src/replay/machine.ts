/**
 * The replay core: a state machine between a run's journal and its code. It does no I/O, keeps no
 * clock and draws no random number: the time is passed in, frames and requests go in, frames and
 * effects to begin come out. This file holds its state and its inputs; each rule has its own file.
 */

import type {
  Append,
  FromWorker,
  JournalRecord,
  Kept,
  NewRecord,
  RunRef,
  Start,
  Value,
  Wait,
} from "../protocol/frames.js";
import { CLEANUP_MS, HOT_MS, STEP_TIMEOUT_MS } from "../protocol/limits.js";
import { askMachine } from "./ask.js";
import { Blobs, refetch, resolveValue } from "./blobs.js";
import { type Cancel, endCleanup } from "./cancel.js";
import { wakeTimed } from "./effect.js";
import { blockUnreadable, type Ending, end } from "./ending.js";
import { Journal } from "./journal.js";
import { parkWhenCold, type Waiting } from "./park.js";
import type { Ask, Begin, EffectId, Request, RequestId } from "./request.js";
import { Scopes } from "./scope.js";
import { acknowledgeOne, flush, resendIfCaughtUp, Wire } from "./send.js";
import { Timers } from "./timers.js";

/** What the machine must know of its worker. */
export interface Settings {
  /** The build of the code. */
  build: string;
  /** How long a waiting run stays in memory before it is parked. */
  hotMs: number;
  /** How long cleanup may take after a cancellation. */
  cleanupMs: number;
  /** The server's limit for steps: the machine announces longer ones. */
  stepTimeoutMs: number;
}

export function settings(build: string): Settings {
  return { build, hotMs: HOT_MS, cleanupMs: CLEANUP_MS, stepTimeoutMs: STEP_TIMEOUT_MS };
}

/** What the machine wants done. */
export type Output =
  /** Records to be sent; they may share a frame with other runs' records. */
  | { type: "records"; records: NewRecord[] }
  /** A frame to be sent, after what came before. */
  | { type: "frame"; frame: FromWorker }
  /** An effect to begin. */
  | { type: "begin"; begin: Begin }
  /** An effect to stop; a report on it is ignored. */
  | { type: "stop"; effect: EffectId }
  /** Something that a person may want to know. */
  | { type: "warn"; message: string };

/** Where the run stands in this process. */
export type Phase = "loading" | "running" | "storing" | "ending" | "gone";

/** The replay of one run under one assignment. */
export class Machine {
  phase: Phase = "loading";
  ending: Ending | undefined;
  readonly journal = new Journal();
  /** The highest sequence number known without a gap. */
  have = 0;
  /** The journal's end when the run was given: what lies behind it is live. */
  readonly frontier: number;
  /** The highest sequence number handed to the code. */
  handed = 0;
  /** The code's time: the commit time of the last record handed to it. */
  codeMs: number;
  readonly scopes = new Scopes();
  readonly requests = new Map<RequestId, Request>();
  /** Requests for which something is to be begun when the code is idle. */
  fresh: RequestId[] = [];
  nextRequest = 1;
  nextEffect = 1;
  /** Backoffs and doubts. */
  readonly timers = new Timers();
  readonly wire = new Wire();
  readonly blobs = new Blobs();
  waiting: Waiting | undefined;
  cancel: Cancel | undefined;
  draining = false;
  readonly out: Output[] = [];

  /** Takes a run that the server has given. It is accepted at once. */
  constructor(
    readonly start: Start,
    readonly settings: Settings,
  ) {
    this.frontier = start.seq;
    this.codeMs = start.created_ms;
    this.frame({ type: "accept", body: this.runRef() });
    const page = start.journal;
    start.journal = [];
    if (page.length > 0) this.takePage(page, this.frontier);
    this.beginIfLoaded();
  }

  runRef(): RunRef {
    return { run: this.start.run, assignment: this.start.assignment };
  }

  get isLoaded(): boolean {
    return this.phase !== "loading";
  }

  /** True while the code may run: neither blocked, ended nor given back. */
  get isRunning(): boolean {
    return this.phase === "running";
  }

  get isGone(): boolean {
    return this.phase === "gone";
  }

  /** True while the code is handed what was recorded before this process had the run. */
  get isReplaying(): boolean {
    return !this.isLoaded || this.journal.hasHistory(this.frontier);
  }

  /** True if the code waits for something that the machine knows. */
  get isAwaited(): boolean {
    for (const request of this.requests.values()) if (request.wake) return true;
    return false;
  }

  /** The run's input, once it is here. */
  input(): Value | undefined {
    return resolveValue(this, this.start.input);
  }

  /** Takes a request of the code; its outcome comes when its turn in the journal has come. */
  ask(ask: Ask, now: number): RequestId {
    return askMachine(this, ask, now);
  }

  /** All that is to be done outside, in order. */
  takeOutputs(): Output[] {
    flush(this);
    return this.out.splice(0);
  }

  /** Sends a frame, after the records submitted before it. */
  frame(frame: FromWorker): void {
    flush(this);
    if (this.wire.attached) this.out.push({ type: "frame", frame });
  }

  warn(message: string): void {
    this.out.push({ type: "warn", message });
  }

  /** Records that the server has: a further page, or what it added itself. */
  appended(append: Append, now: number): void {
    if (append.assignment !== this.start.assignment || this.isGone) return;
    this.waiting = undefined;
    if (this.isLoaded) {
      this.appendLive(append, now);
    } else {
      this.takePage(append.records, append.seq);
      this.beginIfLoaded();
    }
    if (append.more) this.askMore();
    resendIfCaughtUp(this);
  }

  private takePage(records: JournalRecord[], upto: number): void {
    for (const record of records) {
      if (record.seq <= this.have) continue;
      this.have = record.seq;
      if (!this.index(record)) return;
    }
    this.have = Math.max(this.have, upto);
  }

  private index(record: JournalRecord): boolean {
    try {
      this.journal.index(record);
      return true;
    } catch (cause) {
      blockUnreadable(this, cause);
      return false;
    }
  }

  /** Lets the code begin once the whole journal is here. */
  private beginIfLoaded(): void {
    if (this.phase === "loading" && this.have >= this.frontier) this.phase = "running";
  }

  /** Says up to where the journal is here: the answer to a page, or to a gap. */
  askMore(): void {
    this.frame({ type: "more", body: { ...this.runRef(), seq: this.have } });
  }

  private appendLive(append: Append, now: number): void {
    for (const entry of append.records) {
      if (entry.seq <= this.have) continue;
      this.have = entry.seq;
      if (entry.record.kind === "reset") {
        // The past has changed under the code: it must begin anew, from the journal.
        this.giveBack();
        return;
      }
      const isOwn = entry.assignment === this.start.assignment && entry.record.n > 0;
      if (isOwn) acknowledgeOne(this, entry.record.n, entry.seq, entry.at, now);
      else this.index(entry);
    }
    this.have = Math.max(this.have, append.seq);
  }

  /** Gives the run back whole: another worker goes on with it from its journal. */
  giveBack(): void {
    if (this.phase === "loading" || this.phase === "running") end(this, { type: "release" });
  }

  /** The connection stands: `kept` says what the server has of this run. */
  attached(kept: Kept, now: number): void {
    this.wire.attach(kept);
    this.sayWaitAgain();
    refetch(this);
    resendIfCaughtUp(this);
    this.tick(now);
  }

  /** The connection is gone. Effects go on; nothing is sent until it stands again. */
  detached(): void {
    this.wire.detach();
    this.sayWaitAgain();
    const kept = this.out.filter((output) => output.type !== "records" && output.type !== "frame");
    this.out.splice(0, this.out.length, ...kept);
  }

  /** The connection is gone, or another stands: what was said on it may be lost. */
  private sayWaitAgain(): void {
    if (this.waiting) this.waiting.said = "nothing";
  }

  /**
   * What the run waits for, if nothing runs here and nothing will before the server sends
   * something: `hello` says it, so that no slot is counted for it.
   */
  get waitsFor(): Wait | undefined {
    return this.isRunning ? this.waiting?.wait : undefined;
  }

  /** The server wants its runs back: what waits is parked at once, the rest after its effects. */
  drain(): void {
    this.draining = true;
  }

  /** The run is parked, ended or given back, or taken away. */
  forgotten(): void {
    this.stopAll();
    this.phase = "gone";
  }

  stopEffect(request: Request): void {
    const { stage } = request;
    if (stage.at === "running" || stage.at === "verifying") {
      this.out.push({ type: "stop", effect: stage.effect });
    }
  }

  stopAll(): void {
    for (const request of this.requests.values()) this.stopEffect(request);
  }

  /** When `tick` is wanted next. */
  timer(): number | undefined {
    if (!this.isRunning) return undefined;
    const times = [
      this.wire.mayStart ? this.timers.first()?.at : undefined,
      this.waiting?.said === "wait" ? this.waiting.parkMs : undefined,
      this.cancel?.deadlineMs,
    ];
    const due = times.filter((at) => at !== undefined);
    return due.length > 0 ? Math.min(...due) : undefined;
  }

  /** Lets time pass. */
  tick(now: number): void {
    if (!this.isRunning) return;
    endCleanup(this, now);
    wakeTimed(this, now);
    parkWhenCold(this, now);
  }
}
