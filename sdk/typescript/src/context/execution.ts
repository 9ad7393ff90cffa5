/**
 * A run with its code: the machine, the body that asks it, and the effects of its steps. It does no
 * I/O and keeps no clock; a host carries out what comes of it.
 */

import type { FromWorker, NewRecord, Start } from "../protocol/frames.js";
import { toValue } from "../protocol/value.js";
import { awaitOpened, awaitOutcome, takeOutcome } from "../replay/ask.js";
import { settle } from "../replay/effect.js";
import { blockMisuse, complete, fail } from "../replay/ending.js";
import { handNext, loseScope } from "../replay/hand.js";
import { Machine, type Settings } from "../replay/machine.js";
import {
  type Ask,
  type Begin,
  describe,
  type EffectId,
  isHandle,
  type Outcome,
  type RequestId,
} from "../replay/request.js";
import type { ScopeId } from "../replay/scope.js";
import type { StepContext } from "../step.js";
import { afterMicrotasks } from "./drain.js";
import { uncaught } from "./failure.js";
import type { Pending } from "./pending.js";

/** What a run needs of the world. */
export interface Host {
  /** The server's time. */
  now(): number;
  records(records: NewRecord[]): void;
  frame(frame: FromWorker): void;
  /** Begins an effect; its report goes to `Execution.report`. */
  begin(begin: Begin, effect: Effect): void;
  /** Stops an effect: a report on it is ignored. */
  stop(effect: EffectId): void;
  /** Live output: not journaled. */
  stream(key: string, attempt: number, kind: string, data: unknown): void;
  warn(message: string): void;
}

/** What a step does, as it was written. */
export interface Effect {
  attempt(step: StepContext): unknown;
  verify?(step: StepContext): unknown;
  /** What the step was given as `input`. */
  readonly input: unknown;
}

/** The body of a run; it may return anything that can be recorded. */
export type Body = (execution: Execution, input: ReturnType<Machine["input"]>) => Promise<unknown>;

type Ended = { ok: true; value: unknown } | { ok: false; error: unknown };

/** How many outcomes are handed before other work of the program has its turn. */
const HANDED_AT_ONCE = 200;

const FOREIGN_HINT =
  "await I/O, timers and other promises inside a `ctx.step`, and pauses with `ctx.sleep`: what the " +
  "body itself awaits must be replayable";

/** One run in this process. */
export class Execution {
  readonly machine: Machine;
  private readonly effects = new Map<RequestId, Effect>();
  /** Made by a context and not begun yet. */
  private readonly unbegun = new Set<Pending<unknown>>();
  /** The body has begun. */
  private hasBody = false;
  private ended: Ended | undefined;
  /** True from the moment in which the code is handed something until it is idle. */
  private isTurning = false;
  private handed = 0;
  private readonly abort = new AbortController();

  constructor(
    start: Start,
    private readonly body: Body,
    settings: Settings,
    private readonly host: Host,
  ) {
    this.machine = new Machine(start, settings);
  }

  /** Aborted once the cancellation of the run has reached its code. */
  get signal(): AbortSignal {
    return this.abort.signal;
  }

  /** True while the code has nothing to do. */
  get isIdle(): boolean {
    return !this.isTurning;
  }

  now(): number {
    return this.host.now();
  }

  /** Hands the machine an input, and lets the code run as far as it goes. */
  input(give: (machine: Machine, now: number) => void): void {
    give(this.machine, this.host.now());
    this.turn();
  }

  /** Lets the code run as far as it goes: hands it what there is, one at a time. */
  turn(): void {
    if (this.isTurning) return;
    if (this.advance()) {
      this.isTurning = true;
      this.handed += 1;
      const goOn = () => {
        this.isTurning = false;
        this.turn();
      };
      if (this.handed % HANDED_AT_ONCE === 0) setImmediate(() => afterMicrotasks(goOn));
      else afterMicrotasks(goOn);
    }
    this.carryOut();
  }

  /** True if the code has something to do now. */
  private advance(): boolean {
    const { machine } = this;
    const now = this.host.now();
    if (!machine.isRunning) return false;
    if (this.ended) {
      this.finish(this.ended);
      return false;
    }
    if (!this.hasBody) return this.beginBody();
    if (handNext(machine, now)) {
      if (machine.cancel && !this.abort.signal.aborted) this.abort.abort(machine.cancel.failure);
      return true;
    }
    settle(machine, now);
    if (machine.isRunning && !machine.isAwaited) {
      const said = "the workflow's body awaits something that its context does not know";
      blockMisuse(machine, said, FOREIGN_HINT);
    }
    return false;
  }

  private beginBody(): boolean {
    const input = this.machine.input();
    if (!input) return false;
    this.hasBody = true;
    this.isTurning = true;
    const end = (ended: Ended) => {
      this.ended = ended;
      this.checkTurn("ended");
    };
    const running = (async () => this.body(this, input))();
    running.then(
      (value) => end({ ok: true, value }),
      (error: unknown) => end({ ok: false, error }),
    );
    return true;
  }

  private finish(ended: Ended): void {
    if (!ended.ok) {
      const { failure, step } = uncaught(ended.error);
      fail(this.machine, failure, step);
      return;
    }
    if (this.blockLeftovers()) return;
    try {
      complete(this.machine, toValue(ended.value));
    } catch (error) {
      fail(this.machine, uncaught(error).failure, undefined);
    }
  }

  /** A body that has ended must have awaited all that it began. */
  private blockLeftovers(): boolean {
    if (this.machine.cancel) return false;
    const [unbegun] = this.unbegun;
    if (unbegun) {
      const said = `\`${unbegun.label}\` was made and never awaited, so it has not run`;
      blockMisuse(this.machine, said, "await it, or do not make it");
      return true;
    }
    for (const request of this.machine.requests.values()) {
      if (request.outcome || (isHandle(request) && request.opened)) continue;
      const said = `the body ended while ${describe(request)} was still open`;
      const hint =
        "await it; race steps with `ctx.race`, which records the loser, not with `Promise.race`";
      blockMisuse(this.machine, said, hint);
      return true;
    }
    return false;
  }

  /** Between two turns only the machine wakes the code; anything else cannot be replayed. */
  private checkTurn(what: string): boolean {
    if (this.isTurning || !this.machine.isRunning) return true;
    const said = `the body ${what} after something that its context does not know`;
    blockMisuse(this.machine, said, FOREIGN_HINT);
    this.carryOut();
    return false;
  }

  /** Takes a request of the code. `undefined` if the run does not go on here. */
  ask(ask: Ask, effect?: Effect): RequestId | undefined {
    if (!this.machine.isRunning || !this.checkTurn(`asked for \`${ask.name}\``)) return undefined;
    if (!this.machine.scopes.get(ask.scope)) {
      const said = `\`${ask.name}\` was asked for in a branch that has ended`;
      blockMisuse(this.machine, said, "use the context that the branch itself is given");
      return undefined;
    }
    const id = this.machine.ask(ask, this.host.now());
    if (effect) this.effects.set(id, effect);
    return id;
  }

  /** The key of a request that the code still has. */
  keyOf(id: RequestId | undefined): string {
    return (id === undefined ? undefined : this.machine.requests.get(id)?.key) ?? "";
  }

  /** Settles when the request has its outcome; never, if the run does not go on here. */
  outcome(id: RequestId | undefined): Promise<Outcome> {
    return new Promise((resolve) => {
      if (id === undefined) return;
      awaitOutcome(this.machine, id, () => {
        const outcome = takeOutcome(this.machine, id);
        this.effects.delete(id);
        if (outcome) resolve(outcome);
      });
    });
  }

  /** Settles when the opening of a handle has been handed to the code. */
  opened(id: RequestId | undefined): Promise<RequestId> {
    return new Promise((resolve) => {
      if (id !== undefined) awaitOpened(this.machine, id, () => resolve(id));
    });
  }

  made(pending: Pending<unknown>): void {
    this.unbegun.add(pending);
  }

  begun(pending: Pending<unknown>): void {
    this.unbegun.delete(pending);
  }

  /** Gives up all that the code of a scope awaits or has made: it lost a race. */
  lose(scope: ScopeId): void {
    for (const pending of this.unbegun) {
      if (this.machine.scopes.isWithin(pending.scope, scope)) this.unbegun.delete(pending);
    }
    loseScope(this.machine, scope);
  }

  refuseRace(label: string): void {
    const said = `\`${label}\` was handed to \`Promise.race\` or \`Promise.any\``;
    const hint = "use `ctx.race`, which records who won and gives up the others";
    blockMisuse(this.machine, said, hint);
  }

  stream(key: string, attempt: number, kind: string, data: unknown): void {
    this.host.stream(key, attempt, kind, data);
  }

  /** Does all that the machine wants done. */
  private carryOut(): void {
    const { host } = this;
    for (const output of this.machine.takeOutputs()) {
      switch (output.type) {
        case "records":
          host.records(output.records);
          break;
        case "frame":
          host.frame(output.frame);
          break;
        case "begin": {
          const effect = this.effects.get(output.begin.request);
          if (effect) host.begin(output.begin, effect);
          break;
        }
        case "stop":
          host.stop(output.effect);
          break;
        case "warn":
          host.warn(output.message);
          break;
      }
    }
  }
}
