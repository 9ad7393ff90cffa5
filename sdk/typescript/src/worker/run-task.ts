/** One run of a worker: its code, its effects, its timers. */

import type { Effect, Host } from "../context/execution.js";
import { type Body, Execution } from "../context/execution.js";
import { StepError } from "../errors.js";
import type { Append, FromWorker, NewRecord, RunRef, Start, Wait } from "../protocol/frames.js";
import { encode } from "../protocol/value.js";
import { idempotencyKey } from "../replay/derive.js";
import { leaseLost } from "../replay/doubt.js";
import { report } from "../replay/effect.js";
import type { Machine, Settings } from "../replay/machine.js";
import {
  type Begin,
  type EffectId,
  type EffectOutcome,
  type EffectReport,
  timedOut,
} from "../replay/request.js";
import type { StepContext } from "../step.js";
import type { Clock } from "./clock.js";
import { carryOut } from "./effect.js";
import type { Outbox } from "./outbox.js";

/** The longest timer that JavaScript has. */
const TIMER_MS_MAX = 2 ** 31 - 1;

/** What a run's task needs of its worker. */
export interface TaskOptions {
  outbox: Outbox;
  clock: Clock;
  warn: (message: string) => void;
  /** The run is not here any more. */
  onGone: (run: RunRef) => void;
  /** What the run waits for has changed; `taken` counts the `append` frames it has taken in. */
  onWaits: (run: RunRef, taken: number, wait: Wait | undefined) => void;
  /** The run asks for this value. */
  onFetch: (hash: string) => void;
  /** The run sends this value to be kept. */
  onStore: (hash: string) => void;
}

interface Running {
  controller: AbortController;
  timer: NodeJS.Timeout;
}

interface Usage {
  costMicros?: number;
  tokens?: [number, number];
}

export class RunTask implements Host {
  readonly run: RunRef;
  /** Up to where the journal is known; the connection's thread reads it. */
  readonly seq = new Int32Array(new SharedArrayBuffer(4));
  private readonly execution: Execution;
  private readonly effects = new Map<EffectId, Running>();
  private timer: { at: number; handle: NodeJS.Timeout } | undefined;
  private isGone = false;
  private appended = 0;
  private waitsFor: Wait | undefined;

  constructor(
    start: Start,
    body: Body,
    settings: Settings,
    private readonly options: TaskOptions,
  ) {
    this.run = { run: start.run, assignment: start.assignment };
    this.execution = new Execution(start, body, settings, this);
    this.execution.turn();
    this.after();
  }

  /** Hands the machine an input. */
  give(input: (machine: Machine, now: number) => void): void {
    this.execution.input(input);
    this.after();
  }

  append(append: Append): void {
    this.appended += 1;
    this.give((machine, now) => machine.appended(append, now));
  }

  loseLease(): void {
    this.give(leaseLost);
  }

  private after(): void {
    const { machine } = this.execution;
    Atomics.store(this.seq, 0, machine.have);
    if (machine.waitsFor !== this.waitsFor) {
      this.waitsFor = machine.waitsFor;
      this.options.onWaits(this.run, this.appended, this.waitsFor);
    }
    if (machine.isGone) this.end();
    else this.setTimer();
  }

  private end(): void {
    if (this.isGone) return;
    this.isGone = true;
    clearTimeout(this.timer?.handle);
    for (const effect of this.effects.keys()) this.stop(effect);
    this.options.onGone(this.run);
  }

  private setTimer(): void {
    const at = this.execution.machine.timer();
    if (at === this.timer?.at) return;
    clearTimeout(this.timer?.handle);
    this.timer = undefined;
    if (at === undefined) return;
    // One millisecond more, so that the time has come when the timer says so.
    const wait = Math.min(Math.max(at - this.now(), 0) + 1, TIMER_MS_MAX);
    const handle = setTimeout(() => {
      this.timer = undefined;
      this.give((machine, now) => machine.tick(now));
    }, wait);
    this.timer = { at, handle };
  }

  now(): number {
    return this.options.clock.now();
  }

  records(records: NewRecord[]): void {
    this.options.outbox.addRecords(this.run, records);
  }

  frame(frame: FromWorker): void {
    if (frame.type === "fetch") this.options.onFetch(frame.body.hash);
    if (frame.type === "store") this.options.onStore(frame.body.hash);
    this.options.outbox.addFrame(frame);
  }

  warn(message: string): void {
    this.options.warn(`run \`${this.run.run}\`: ${message}`);
  }

  stream(key: string, attempt: number, kind: string, data: unknown): void {
    const item = { key, attempt, kind, data: { v: encode(data === undefined ? null : data) } };
    this.options.outbox.addStream(this.run, item);
  }

  begin(begin: Begin, effect: Effect): void {
    if (!this.options.clock.isLeased()) {
      // The machine takes the effect back; it begins again after the re-attachment.
      queueMicrotask(() => this.loseLease());
      return;
    }
    const startedMs = this.now();
    const controller = new AbortController();
    const limit = Math.min(begin.timeoutMs, TIMER_MS_MAX);
    const timer = setTimeout(() => {
      const fault = timedOut(begin.timeoutMs);
      controller.abort(new StepError(fault.failure.message, { code: "timeout" }));
      end({ type: "failed", fault });
    }, limit);
    this.effects.set(begin.effect, { controller, timer });
    const usage: Usage = {};
    const end = (outcome: EffectOutcome) => {
      if (!this.effects.delete(begin.effect)) return;
      clearTimeout(timer);
      const ended: EffectReport = { outcome, startedMs, endedMs: this.now(), ...usage };
      this.give((machine, now) => report(machine, begin.request, begin.effect, ended, now));
    };
    const step = this.stepContext(begin, controller.signal, usage);
    // What was said before leaves first: the user's code may block this thread for long.
    setImmediate(() => {
      if (this.effects.has(begin.effect)) void carryOut(begin.kind, effect, step).then(end);
    });
  }

  stop(effect: EffectId): void {
    const running = this.effects.get(effect);
    if (!running) return;
    this.effects.delete(effect);
    clearTimeout(running.timer);
    running.controller.abort(new StepError("the step was stopped", { code: "stopped" }));
  }

  private stepContext(begin: Begin, signal: AbortSignal, usage: Usage): StepContext {
    const { start } = this.execution.machine;
    const { key, attempt } = begin;
    return {
      idempotencyKey: idempotencyKey(start.run, key, start.key_generation ?? 0),
      signal,
      attempt,
      key,
      runId: start.run,
      stream: (kind, data) => this.stream(key, attempt, kind, data),
      cost: (dollars) => {
        usage.costMicros = Math.round(dollars * 1e6);
      },
      tokens: (input, output) => {
        usage.tokens = [input, output];
      },
    };
  }
}
