/**
 * The journal as the machine sees it: what is recorded under each key, and what has not yet been
 * handed to the code.
 */

import type { AttemptDetail, IntentDetail, Marker, Open, StepDetail } from "../protocol/details.js";
import type { Failure, JournalRecord, Kind, StepKey, Value } from "../protocol/frames.js";
import type { RequestId } from "./request.js";

/** What sort of thing is recorded; `settle` is the machine's own question about a doubt. */
export type Sort = "step" | "timer" | "event" | "child" | "approval" | "settle" | "emit";

const SORT_NAMES: { [sort in Sort]: string } = {
  step: "step",
  timer: "timer",
  event: "event",
  child: "child",
  approval: "approval",
  settle: "settle question",
  emit: "published event",
};

export function sortOfOpen(open: Open): Sort {
  if ("timer" in open) return "timer";
  if ("event" in open) return "event";
  if ("child" in open) return "child";
  return open.approval.kind === "settle" ? "settle" : "approval";
}

/** A `once` step that began to act: within which limit, and under which assignment. */
export interface Intent {
  timeoutMs: number;
  assignment: number;
}

/** What the journal holds under one key, until its outcome has been handed to the code. */
export interface Slot {
  firstSeq: number;
  build: string | undefined;
  sort: Sort;
  fingerprint: string | undefined;
  intent: Intent | undefined;
  /** The last journaled failed attempt, and when the next one is due. */
  attempts: number;
  nextMs: number;
  /** How many answers to the machine's question were "not done". */
  settledUsed: number;
  /** How many orders by the verb were "not done". */
  verbsUsed: number;
  hasOutcome: boolean;
  /** The code has given it up: outcomes are ignored. */
  lost: boolean;
  inserted: boolean;
  /** Outcomes set aside until the code asks. */
  held: number[];
  request: RequestId | undefined;
}

export function newSlot(firstSeq: number, build: string | undefined, sort: Sort): Slot {
  return {
    firstSeq,
    build,
    sort,
    fingerprint: undefined,
    intent: undefined,
    attempts: 0,
    nextMs: 0,
    settledUsed: 0,
    verbsUsed: 0,
    hasOutcome: false,
    lost: false,
    inserted: false,
    held: [],
    request: undefined,
  };
}

/** True for what must not be forgotten silently: it may have acted, or lives on its own. */
export const isGrave = (slot: Slot): boolean => slot.intent !== undefined || slot.sort === "child";

export function describeSlot(slot: Slot, key: StepKey): string {
  const once = slot.intent ? "once " : "";
  const place = String(slot.firstSeq).padStart(5);
  return `${place}  ${once}${SORT_NAMES[slot.sort]} \`${key}\` (build ${slot.build ?? "?"})`;
}

/** A record whose turn is to come. */
export interface Item {
  seq: number;
  at: number;
  kind: Kind;
  key: StepKey;
  value: Value | undefined;
  error: Failure | undefined;
  inserted: boolean;
  /** The request it answers, where the machine knows it already. */
  request: RequestId | undefined;
}

/** The code of an attempt that a person's "not done" ended, as an answer to the question. */
export const SETTLED_NOT_DONE = "settled_not_done";
/** The same, as an operator's verb. */
export const SETTLED_BY_VERB = "settled_by_verb";

export const removedNote = (scope: StepKey, name: string): string => `removed ${scope} ${name}`;

const HANDED: ReadonlySet<Kind> = new Set(["step", "open", "emit", "resolved", "cancel"]);

/** All that the machine knows of the journal. */
export class Journal {
  readonly slots = new Map<StepKey, Slot>();
  /** Recorded requests that the code has not made yet, by their first record. */
  readonly unasked = new Map<number, StepKey>();
  /** What has not had its turn, in order. */
  readonly queue = new ItemQueue();
  /** Outcomes set aside because newer code has not asked for them yet. */
  readonly held = new Map<number, Item>();
  /** Held outcomes that have been asked for since, in order. */
  readonly ready: number[] = [];
  /** Keys whose lost race is recorded. */
  readonly lost = new Set<StepKey>();
  /** Keys of `patched` markers. */
  readonly patched = new Set<StepKey>();
  /** Names that were declared removed, and orphans already warned of. */
  readonly noted = new Set<string>();

  /** Takes in a record that this process did not write itself. */
  index(entry: JournalRecord): void {
    const { record } = entry;
    switch (record.kind) {
      case "step":
        this.indexStep(entry);
        break;
      case "intent":
        this.indexIntent(entry);
        break;
      case "attempt":
        this.indexAttempt(entry);
        break;
      case "open":
        this.indexOpen(entry);
        break;
      case "emit":
        this.slot(entry, "emit").hasOutcome = true;
        break;
      case "resolved": {
        const slot = this.slots.get(record.key);
        if (slot) slot.hasOutcome = true;
        break;
      }
      case "lost":
        this.lost.add(record.key);
        break;
      case "marker":
        this.indexMarker(record.key, record.detail as Marker);
        break;
      default:
        break;
    }
    if (HANDED.has(record.kind)) this.enqueue(entry);
  }

  private enqueue(entry: JournalRecord): void {
    const { record } = entry;
    this.queue.push({
      seq: entry.seq,
      at: entry.at,
      kind: record.kind,
      key: record.key,
      value: record.value,
      error: record.error,
      inserted: this.slots.get(record.key)?.inserted ?? false,
      request: undefined,
    });
  }

  private slot(entry: JournalRecord, sort: Sort): Slot {
    const { key } = entry.record;
    let slot = this.slots.get(key);
    if (!slot) {
      slot = newSlot(entry.seq, entry.build, sort);
      this.slots.set(key, slot);
      if (sort !== "settle") this.unasked.set(entry.seq, key);
    }
    return slot;
  }

  private indexStep(entry: JournalRecord): void {
    const detail = entry.record.detail as StepDetail | undefined;
    const slot = this.slot(entry, "step");
    slot.hasOutcome = true;
    slot.inserted ||= detail?.inserted ?? false;
    slot.fingerprint = entry.record.fingerprint ?? slot.fingerprint;
  }

  private indexIntent(entry: JournalRecord): void {
    const detail = entry.record.detail as IntentDetail;
    const slot = this.slot(entry, "step");
    slot.intent = { timeoutMs: detail.timeout_ms, assignment: entry.assignment ?? 0 };
    slot.fingerprint = entry.record.fingerprint ?? slot.fingerprint;
  }

  private indexAttempt(entry: JournalRecord): void {
    const detail = entry.record.detail as AttemptDetail;
    const slot = this.slot(entry, "step");
    slot.attempts = Math.max(slot.attempts, detail.attempt);
    slot.nextMs = detail.next_ms;
    if (entry.record.error?.code === SETTLED_NOT_DONE) slot.settledUsed += 1;
    if (entry.record.error?.code === SETTLED_BY_VERB) slot.verbsUsed += 1;
  }

  private indexOpen(entry: JournalRecord): void {
    const open = entry.record.detail as Open;
    const slot = this.slot(entry, sortOfOpen(open));
    slot.fingerprint = entry.record.fingerprint;
    if ("child" in open) slot.hasOutcome ||= open.child.detached ?? false;
  }

  private indexMarker(key: StepKey, marker: Marker): void {
    if (marker === "cleanup") this.noted.add(`cleanup ${key}`);
    else if ("patched" in marker) this.patched.add(key);
    else if ("removed" in marker) this.noted.add(removedNote(key, marker.removed));
    else this.noted.add(marker.orphaned);
  }

  /** The code has asked for `key`: nothing recorded under it is unasked any more. */
  asked(key: StepKey, request: RequestId): void {
    const slot = this.slots.get(key);
    if (!slot) return;
    slot.request = request;
    this.unasked.delete(slot.firstSeq);
    this.ready.push(...slot.held.splice(0));
    this.ready.sort((a, b) => a - b);
  }

  /** Sets an outcome aside until the code asks for its key. */
  hold(item: Item): void {
    this.slots.get(item.key)?.held.push(item.seq);
    this.held.set(item.seq, item);
  }

  /** True while outcomes up to `frontier`, recorded before this process had the run, are due. */
  hasHistory(frontier: number): boolean {
    const front = this.queue.front();
    return this.ready.length > 0 || (front !== undefined && front.seq <= frontier);
  }
}

/** First in, first out; taking from the front of a long array is dear. */
export class ItemQueue {
  private items: Item[] = [];
  private head = 0;

  get isEmpty(): boolean {
    return this.head === this.items.length;
  }

  front(): Item | undefined {
    return this.items[this.head];
  }

  push(item: Item): void {
    this.items.push(item);
  }

  shift(): Item | undefined {
    const item = this.items[this.head];
    if (!item) return undefined;
    this.head += 1;
    if (this.head >= 1024 && this.head * 2 > this.items.length) this.retain(() => true);
    return item;
  }

  /** The next few, without taking them. */
  peek(count: number): Item[] {
    return this.items.slice(this.head, this.head + count);
  }

  retain(keep: (item: Item) => boolean): void {
    this.items = this.items.slice(this.head).filter(keep);
    this.head = 0;
  }
}
