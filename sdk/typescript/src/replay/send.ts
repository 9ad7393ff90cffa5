/** The way out: numbering, keeping and sending records again until they are durable. */

import type { Kept, NewRecord, StepKey, Value } from "../protocol/frames.js";
import { openGate } from "./effect.js";
import { repeatEnding } from "./ending.js";
import { newSlot, sortOfOpen } from "./journal.js";
import type { Machine } from "./machine.js";
import type { RequestId } from "./request.js";

/** What has been sent and is not known to be durable. */
export class Wire {
  n = 0;
  readonly unacknowledged: Sent[] = [];
  /** Numbered and not yet handed out. */
  batch: NewRecord[] = [];
  /** False between a lost connection and `welcome`. */
  attached = true;
  /** The journal's end that must be reached before anything is sent again. */
  catchUp: Kept | undefined;
  /** False once the lease has ended unheard: no effect may begin. */
  mayStart = true;

  attach(kept: Kept): void {
    this.attached = true;
    this.mayStart = true;
    this.catchUp = kept;
  }

  detach(): void {
    this.attached = false;
    this.batch = [];
  }

  get canSend(): boolean {
    return this.attached && !this.catchUp;
  }

  get isQuiet(): boolean {
    return this.unacknowledged.length === 0 && this.canSend;
  }
}

interface Sent {
  record: NewRecord;
  request: RequestId | undefined;
  /** The value itself, where the record only refers to it. */
  local: Value | undefined;
  inserted: boolean;
}

/** A record with nothing but its place. */
export function record(kind: NewRecord["kind"], key: StepKey, after: number): NewRecord {
  return { n: 0, kind, key, after };
}

/** Numbers a record, keeps it until it is durable, and sends it. */
export function submit(m: Machine, record: NewRecord, request: RequestId | undefined): void {
  submitWith(m, record, request, undefined);
}

export function submitWith(
  m: Machine,
  record: NewRecord,
  request: RequestId | undefined,
  local: Value | undefined,
): void {
  m.waiting = undefined;
  m.wire.n += 1;
  record.n = m.wire.n;
  if (m.wire.canSend) m.wire.batch.push(record);
  const inserted = request !== undefined && (m.requests.get(request)?.inserted ?? false);
  m.wire.unacknowledged.push({ record, request, local, inserted });
}

export function flush(m: Machine): void {
  if (m.wire.batch.length === 0) return;
  const records = m.wire.batch;
  m.wire.batch = [];
  m.out.push({ type: "records", records });
}

/** Record `n` is durable at `seq`, and the unacknowledged ones before it right before it. */
export function recorded(m: Machine, n: number, seq: number, at: number, now: number): void {
  const after = m.wire.unacknowledged.findIndex((sent) => sent.record.n > n);
  const pending = after === -1 ? m.wire.unacknowledged.length : after;
  if (pending === 0 || m.isGone) return;
  const before = seq - pending;
  if (m.have !== before) {
    // Something of the server's own lies between: it is asked for, and acknowledges too.
    m.askMore();
    return;
  }
  for (let offset = 1; offset <= pending; offset++) acknowledgeFront(m, before + offset, at, now);
  m.have = seq;
  resendIfCaughtUp(m);
}

export function acknowledgeOne(m: Machine, n: number, seq: number, at: number, now: number): void {
  const sent = m.wire.unacknowledged;
  // What stands before it was acknowledged by a record that this process had already seen.
  while (sent[0] && sent[0].record.n < n) sent.shift();
  if (sent[0]?.record.n === n) acknowledgeFront(m, seq, at, now);
}

function acknowledgeFront(m: Machine, seq: number, at: number, now: number): void {
  const sent = m.wire.unacknowledged.shift();
  if (!sent) return;
  const { record, request } = sent;
  switch (record.kind) {
    case "step":
    case "emit":
    case "open":
      if (record.kind === "open") opened(m, record, request, seq);
      else setRecorded(m, request);
      m.journal.queue.push({
        seq,
        at,
        kind: record.kind,
        key: record.key,
        value: sent.local ?? record.value,
        error: record.error,
        inserted: sent.inserted,
        request,
      });
      break;
    case "intent":
    case "attempt":
      openGate(m, request, now);
      break;
    default:
      break;
  }
}

/** A wait is open: its outcome comes under its key. */
function opened(m: Machine, record: NewRecord, id: RequestId | undefined, seq: number): void {
  if (id === undefined) return;
  const request = m.requests.get(id);
  if (!request || request.outcome) {
    // It was given up before it was open: its outcome interests nobody.
    m.journal.slots.set(record.key, { ...newSlot(0, undefined, "timer"), lost: true });
    return;
  }
  request.stage = { at: "opened" };
  if (request.what.type !== "open") return;
  const slot = newSlot(seq, undefined, sortOfOpen(request.what.spec.open));
  slot.request = id;
  m.journal.slots.set(record.key, slot);
}

function setRecorded(m: Machine, id: RequestId | undefined): void {
  const request = id === undefined ? undefined : m.requests.get(id);
  if (request && !request.outcome) request.stage = { at: "recorded" };
}

/** After a re-attachment, once the journal is known up to where the server said: sends again. */
export function resendIfCaughtUp(m: Machine): void {
  const { catchUp } = m.wire;
  if (!catchUp || m.have < catchUp.seq || !m.isLoaded) return;
  m.wire.catchUp = undefined;
  const again = m.wire.unacknowledged.filter((sent) => sent.record.n > catchUp.n);
  m.wire.batch = again.map((sent) => sent.record);
  repeatEnding(m);
}
