/**
 * A server for one run and the world around it, in memory and in virtual time: it commits records,
 * fires timers, runs children, answers people, and counts effects.
 */

import { type Body, type Effect, Execution, type Host } from "../../src/context/execution.js";
import type { Answer, Open } from "../../src/protocol/details.js";
import type {
  Append,
  Blocked,
  Failure,
  FromWorker,
  JournalRecord,
  Kind,
  NewRecord,
  Start,
  Value,
} from "../../src/protocol/frames.js";
import { parseJson, writeJson } from "../../src/protocol/json.js";
import { fromValue } from "../../src/protocol/value.js";
import { stored } from "../../src/replay/blobs.js";
import { report } from "../../src/replay/effect.js";
import { settings } from "../../src/replay/machine.js";
import type { Begin, EffectId, EffectOutcome } from "../../src/replay/request.js";
import { recorded } from "../../src/replay/send.js";
import type { StepContext } from "../../src/step.js";
import { carryOut } from "../../src/worker/effect.js";

/** A small generator of numbers: one seed, one sequence. */
export class Chance {
  private state: number;

  constructor(seed: number) {
    this.state = (seed * 2_654_435_761) >>> 0 || 1;
  }

  below(limit: number): number {
    let x = this.state;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    this.state = x >>> 0;
    return this.state % Math.max(limit, 1);
  }
}

/** How a run ended in this process. */
export type End =
  | { how: "completed"; value: unknown }
  | { how: "failed"; error: Failure; step: string | undefined }
  | { how: "blocked"; blocked: Blocked }
  | { how: "released" | "parked" | "killed" };

interface Happening {
  at: number;
  order: number;
  effect?: EffectId;
  happen: (execution: Execution) => void;
}

/** Lets the code run as far as it goes. */
async function idle(execution: Execution): Promise<void> {
  do await new Promise((resolve) => setImmediate(resolve));
  while (!execution.isIdle);
}

export const answer = (approved: boolean, value?: unknown): Answer => ({
  approval: "apr_00000000000000000000000003",
  approved,
  by: "ada",
  at: 1,
  ...(value === undefined ? {} : { value }),
});

export class World {
  readonly run = "run_00000000000000000000000009";
  journal: JournalRecord[] = [];
  now = 1_000_000;
  assignment = 0;
  build = "b1";
  /** How often each effect was begun. */
  begun = new Map<string, number>();
  /** The start's fields that a test sets. */
  given: Partial<Start> = {};
  /** What a person answers when asked; nothing for never. */
  answer: (key: string) => Answer | undefined = () => undefined;
  /** Dies when the journal is this long. */
  killAt = Number.POSITIVE_INFINITY;
  maxDelay = 50;
  /** How many records a page of the journal holds. */
  page = Number.POSITIVE_INFINITY;
  /** The types of frames that came. */
  readonly seen = new Set<string>();
  readonly warnings: string[] = [];
  private told = 0;
  private order = 0;
  private queue: Happening[] = [];
  private readonly chance: Chance;

  constructor(seed = 1) {
    this.chance = new Chance(seed);
  }

  keys(kind: Kind): string[] {
    return this.journal.filter((r) => r.record.kind === kind).map((r) => r.record.key);
  }

  /** The journal in short: what must be equal whenever the same has happened. */
  shape(): string[] {
    return this.journal.map(({ record }) => {
      const { error, key, kind, value } = record;
      return `${kind} ${key} ${value ? writeJson(fromValue(value) ?? null) : (error?.code ?? "")}`;
    });
  }

  /** Gives the run to a process with this code and drives it until it ends or parks for good. */
  async drive(body: Body): Promise<End> {
    const start = this.start();
    this.told = start.seq;
    this.queue = [];
    const life = new Life(this, start, body);
    const resolved = new Set(this.keys("resolved"));
    for (const record of this.journal) {
      if (record.record.kind === "open" && !resolved.has(record.record.key)) this.schedule(record);
    }
    if (this.journal.length > this.page) this.sendPage(life.execution, 0);
    life.execution.turn();
    for (;;) {
      await idle(life.execution);
      if (life.end) return life.end;
      if (this.journal.length >= this.killAt) return { how: "killed" };
      if (!(await this.step(life.execution))) return { how: "parked" };
    }
  }

  /** Lets the next thing happen; false if nothing is left. */
  private async step(execution: Execution): Promise<boolean> {
    const timer = execution.machine.timer();
    const [next] = this.queue;
    if (next && (timer === undefined || next.at <= timer)) {
      this.now = Math.max(this.now, next.at);
      this.queue.shift();
      next.happen(execution);
    } else if (timer !== undefined) {
      this.now = Math.max(this.now, timer);
      execution.input((machine, now) => machine.tick(now));
    } else {
      return false;
    }
    return true;
  }

  private start(): Start {
    this.assignment += 1;
    const start: Start = {
      run: this.run,
      assignment: this.assignment,
      workflow: "w",
      kind: "workflow",
      input: { v: null },
      seed: "00ff",
      created_ms: 1_000_000,
      now: this.now,
      root: this.run,
      principal: "test",
      ...this.given,
      // A journal that does not fit a page comes in appends.
      journal: this.journal.length > this.page ? [] : this.journal,
      seq: this.journal.at(-1)?.seq ?? 0,
    };
    return onTheWire(start);
  }

  commit(record: NewRecord, assignment: number): number {
    const seq = (this.journal.at(-1)?.seq ?? 0) + 1;
    const entry: JournalRecord = { seq, at: this.now, assignment, record: onTheWire(record) };
    if (assignment > 0) entry.build = this.build;
    this.journal.push(entry);
    return seq;
  }

  cancel(): void {
    const error = { code: "cancelled", message: "by ada" };
    this.commit({ n: 0, kind: "cancel", key: "", after: 0, error }, 0);
  }

  later(delay: number, happen: Happening["happen"], effect?: EffectId): void {
    const one: Happening = { at: this.now + delay, order: this.order++, happen };
    if (effect !== undefined) one.effect = effect;
    this.queue.push(one);
    this.queue.sort((a, b) => a.at - b.at || a.order - b.order);
  }

  forget(effect: EffectId): void {
    this.queue = this.queue.filter((one) => one.effect !== effect);
  }

  delay(): number {
    return this.chance.below(this.maxDelay);
  }

  /** What still has to happen for an opened wait. */
  schedule({ record }: JournalRecord): void {
    const open = record.detail as Open;
    const { key } = record;
    const resolve = (delay: number, value?: unknown, error?: Failure) =>
      this.later(delay, (execution) => this.resolve(execution, key, value, error));
    if ("timer" in open) resolve(Math.max(open.timer.at - this.now, 0), null);
    else if ("child" in open && !open.child.detached) resolve(this.delay() + 1, `child ${key}`);
    else if ("event" in open && open.event.deadline_ms !== undefined) {
      const failure = { code: "timeout", message: "no event came" };
      resolve(Math.max(open.event.deadline_ms - this.now, 0), undefined, failure);
    } else if ("approval" in open) {
      const given = this.answer(key);
      if (given) resolve(this.delay() + 1, given);
    }
  }

  private resolve(execution: Execution, key: string, value: unknown, error?: Failure): void {
    if (this.keys("lost").includes(key)) return;
    const record: NewRecord = { n: 0, kind: "resolved", key, after: 0 };
    if (value !== undefined) record.value = { v: value };
    if (error) record.error = error;
    const seq = this.commit(record, 0);
    // What was committed and not told yet goes with it, and acknowledges by its `n`.
    const records = this.journal.filter((one) => one.seq > this.told);
    this.told = seq;
    this.append(execution, records, seq);
  }

  append(execution: Execution, records: JournalRecord[], seq: number, more = false): void {
    const append: Append = { run: this.run, assignment: this.assignment, records, seq, more };
    execution.input((machine, now) => machine.appended(onTheWire(append), now));
  }

  /** The page behind a place, and whether it is to be answered. */
  sendPage(execution: Execution, after: number): void {
    const rest = this.journal.filter((one) => one.seq > after);
    const records = rest.slice(0, this.page);
    const seq = records.at(-1)?.seq ?? after;
    const more = records.length < rest.length;
    this.later(0, () => this.append(execution, records, seq, more));
  }

  acknowledge(execution: Execution, n: number, seq: number, at: number): void {
    this.told = Math.max(this.told, seq);
    execution.input((machine, now) => recorded(machine, n, seq, at, now));
  }
}

/** As text and back. */
function onTheWire<T>(message: T): T {
  return parseJson(writeJson(message)) as T;
}

/** One process that has the run. */
class Life implements Host {
  readonly execution: Execution;
  end: End | undefined;

  constructor(
    private readonly world: World,
    start: Start,
    body: Body,
  ) {
    this.execution = new Execution(start, body, settings(world.build), this);
  }

  now(): number {
    return this.world.now;
  }

  records(records: NewRecord[]): void {
    const { world } = this;
    for (const record of records) {
      if (this.end) return;
      const seq = world.commit(record, world.assignment);
      const entry = world.journal.at(-1);
      if (entry && record.kind === "open") world.schedule(entry);
      const { n } = record;
      const at = world.now;
      world.later(0, (execution) => world.acknowledge(execution, n, seq, at));
      if (world.journal.length >= world.killAt) this.end = { how: "killed" };
    }
  }

  frame(frame: FromWorker): void {
    const { world } = this;
    world.seen.add(frame.type);
    switch (frame.type) {
      case "complete":
        this.end ??= { how: "completed", value: opened(frame.body.value) };
        break;
      case "fail":
        this.end ??= { how: "failed", error: frame.body.error, step: frame.body.step };
        break;
      case "block":
        this.end ??= { how: "blocked", blocked: frame.body.blocked };
        break;
      case "release":
        this.end ??= { how: "released" };
        break;
      case "store": {
        const { hash, offset, size, text } = frame.body;
        const isLast = offset + Buffer.byteLength(text) >= size;
        if (isLast) world.later(0, (execution) => execution.input((m) => stored(m, hash)));
        break;
      }
      case "more":
        world.sendPage(this.execution, frame.body.seq);
        break;
      default:
        break;
    }
  }

  begin(begin: Begin, effect: Effect): void {
    const { world } = this;
    world.begun.set(begin.key, (world.begun.get(begin.key) ?? 0) + 1);
    const startedMs = world.now;
    const delay = world.delay();
    // The effect is carried out at once; that it has ended is heard later.
    const ended: { outcome?: EffectOutcome } = {};
    void carryOut(begin.kind, effect, stepContext(begin)).then((outcome) => {
      ended.outcome = outcome;
    });
    const tell = (execution: Execution) => {
      const { outcome } = ended;
      if (!outcome) throw new Error("the effects of this world are done at once");
      const endedMs = world.now;
      execution.input((machine, now) =>
        report(machine, begin.request, begin.effect, { outcome, startedMs, endedMs }, now),
      );
    };
    world.later(delay, tell, begin.effect);
  }

  stop(effect: EffectId): void {
    this.world.forget(effect);
  }

  stream(): void {}

  warn(message: string): void {
    this.world.warnings.push(message);
  }
}

const opened = (value: Value): unknown => fromValue(onTheWire(value));

function stepContext(begin: Begin): StepContext {
  return {
    idempotencyKey: `key of ${begin.key}`,
    signal: new AbortController().signal,
    attempt: begin.attempt,
    key: begin.key,
    runId: "run",
    stream: () => {},
    cost: () => {},
    tokens: () => {},
  };
}
