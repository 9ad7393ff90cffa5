/**
 * Values kept apart: fetching them before they are handed out, storing large ones before they are
 * referred to.
 */

import type { OpenChild } from "../protocol/details.js";
import type { Blob, Failure, NewRecord, Value } from "../protocol/frames.js";
import { parseJson, RawJson } from "../protocol/json.js";
import { BLOB_BYTES_MAX, VALUE_INLINE_BYTES_MAX } from "../protocol/limits.js";
import { textOf } from "../protocol/value.js";
import { sha256 } from "./derive.js";
import { blockMisuse, blockUnreadable, end } from "./ending.js";
import type { Machine } from "./machine.js";
import type { RequestId } from "./request.js";
import { submit, submitWith } from "./send.js";

/** How many outcomes ahead of the code are fetched. */
const FETCH_AHEAD = 8;
/** A piece of a stored value; escaping may double it on the wire. */
const PIECE_BYTES = 256 << 10;

interface Fetching {
  text: string;
  bytes: number;
}

/** What waits until a value is stored: a record that is to hold it, a child whose input it is, or the end. */
type Waiting = { record: NewRecord; request: RequestId | undefined; child?: OpenChild } | "output";

interface Storing {
  text: string;
  size: number;
  waiting: Waiting[];
}

export class Blobs {
  readonly fetched = new Map<string, Value>();
  readonly fetching = new Map<string, Fetching>();
  readonly storing = new Map<string, Storing>();

  get isBusy(): boolean {
    return this.fetching.size > 0 || this.storing.size > 0;
  }
}

/** The value itself; asks for it if it is kept apart and not here. */
export function resolveValue(m: Machine, value: Value): Value | undefined {
  if (!value.ref) return value;
  const fetched = m.blobs.fetched.get(value.ref.hash);
  if (!fetched) fetchBlob(m, value.ref.hash);
  return fetched;
}

function fetchBlob(m: Machine, hash: string): void {
  if (m.blobs.fetched.has(hash) || m.blobs.fetching.has(hash)) return;
  m.blobs.fetching.set(hash, { text: "", bytes: 0 });
  m.frame({ type: "fetch", body: { run: m.start.run, hash } });
}

export function prefetch(m: Machine): void {
  for (const item of m.journal.queue.peek(FETCH_AHEAD)) {
    if (item.value?.ref) fetchBlob(m, item.value.ref.hash);
  }
}

/** The outcome has been handed to the code. */
export function forgetValue(m: Machine, value: Value | undefined): void {
  if (value?.ref) m.blobs.fetched.delete(value.ref.hash);
}

/** A piece of a value that was asked for. */
export function takeBlob(m: Machine, blob: Blob): void {
  const fetching = m.blobs.fetching.get(blob.hash);
  if (!fetching) return;
  if (blob.size === 0) {
    const message = `the server does not have value \`${blob.hash}\`, to which the journal refers`;
    const hint = "restore it from a backup, or retry from the step that made it";
    blockMisuse(m, message, `${hint}: \`polos runs retry RUN\``);
    return;
  }
  if (blob.offset !== fetching.bytes) return;
  fetching.text += blob.text;
  fetching.bytes += Buffer.byteLength(blob.text);
  if (fetching.bytes < blob.size) return;
  m.blobs.fetching.delete(blob.hash);
  try {
    parseJson(fetching.text);
    m.blobs.fetched.set(blob.hash, { v: new RawJson(fetching.text) });
  } catch (cause) {
    blockUnreadable(m, cause);
  }
}

/** True if a value may travel inside a record. */
export function fitsInline(value: Value): boolean {
  return value.ref !== undefined || sizeOf(value) <= VALUE_INLINE_BYTES_MAX;
}

function sizeOf(value: Value): number {
  const text = textOf(value);
  // A character is at most three bytes a code unit: short texts need no counting.
  return text.length * 3 <= VALUE_INLINE_BYTES_MAX ? text.length : Buffer.byteLength(text);
}

/** Sends a record with its value; a large one is stored first. */
export function submitValued(
  m: Machine,
  record: NewRecord,
  request: RequestId | undefined,
  value: Value,
): void {
  if (fitsInline(value)) {
    record.value = value;
    submit(m, record, request);
  } else if (sizeOf(value) > BLOB_BYTES_MAX) {
    record.error = tooLarge(value);
    submit(m, record, request);
  } else {
    store(m, value, { record, request });
  }
}

/** Opens a child whose input is too large to stand in the record: that is stored first. */
export function submitChild(m: Machine, record: NewRecord, id: RequestId, child: OpenChild): void {
  store(m, child.input, { record, request: id, child });
}

export function storeOutput(m: Machine, value: Value): void {
  if (sizeOf(value) > BLOB_BYTES_MAX) end(m, { type: "fail", error: tooLarge(value) });
  else store(m, value, "output");
}

function store(m: Machine, value: Value, waiting: Waiting): void {
  const text = textOf(value);
  const hash = sha256(text);
  const storing = m.blobs.storing.get(hash);
  if (storing) {
    storing.waiting.push(waiting);
    return;
  }
  const size = Buffer.byteLength(text);
  m.blobs.storing.set(hash, { text, size, waiting: [waiting] });
  sendPieces(m, hash, text, size);
}

function sendPieces(m: Machine, hash: string, text: string, size: number): void {
  let offset = 0;
  let at = 0;
  while (at < text.length) {
    let end = Math.min(at + PIECE_BYTES, text.length);
    // A piece ends between two characters, not inside a surrogate pair.
    const last = text.charCodeAt(end - 1);
    if (end < text.length && last >= 0xd800 && last <= 0xdbff) end -= 1;
    const piece = text.slice(at, end);
    m.frame({ type: "store", body: { run: m.start.run, hash, size, offset, text: piece } });
    offset += Buffer.byteLength(piece);
    at = end;
  }
}

/** A value is kept: what waited for it may refer to it. */
export function stored(m: Machine, hash: string): void {
  const storing = m.blobs.storing.get(hash);
  if (!storing) return;
  m.blobs.storing.delete(hash);
  const reference: Value = { ref: { hash, size: storing.size } };
  for (const waiting of storing.waiting) {
    if (waiting === "output") {
      if (m.phase === "storing") end(m, { type: "complete", value: reference });
    } else if (waiting.child) {
      waiting.record.detail = { child: { ...waiting.child, input: reference } };
      submit(m, waiting.record, waiting.request);
    } else {
      waiting.record.value = reference;
      submitWith(m, waiting.record, waiting.request, { v: new RawJson(storing.text) });
    }
  }
}

/** The connection is a new one: what was asked for or on its way is sent again. */
export function refetch(m: Machine): void {
  for (const hash of [...m.blobs.fetching.keys()]) {
    m.blobs.fetching.delete(hash);
    fetchBlob(m, hash);
  }
  for (const [hash, { text, size }] of m.blobs.storing) sendPieces(m, hash, text, size);
}

function tooLarge(value: Value): Failure {
  const message =
    `a value of ${sizeOf(value)} bytes is larger than the limit of ${BLOB_BYTES_MAX} bytes; ` +
    "keep it elsewhere and record where";
  return { code: "value_too_large", message, terminal: true };
}
