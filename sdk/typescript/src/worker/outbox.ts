/** What goes out: records of many runs in one frame, live output coalesced. */

import type { FromWorker, NewRecord, RunRecords, RunRef, StreamItem } from "../protocol/frames.js";
import { RawJson, writeJson } from "../protocol/json.js";
import { FRAME_BYTES_MAX } from "../protocol/limits.js";

/** A frame of records is closed when its text reaches this. */
const FRAME_BYTES = FRAME_BYTES_MAX - (128 << 10);
/** Live output beyond this in one turn of the loop is dropped. */
const STREAM_BYTES_MAX = 4 << 20;

const LAST: ReadonlySet<FromWorker["type"]> = new Set([
  "wait",
  "park",
  "complete",
  "fail",
  "block",
  "release",
]);

/** Collects what runs say and hands it over as text, once a turn of the event loop. */
export class Outbox {
  /** Which connection it is for; 0 for none. */
  private connection = 0;
  /** Frames that others do not wait for. */
  private first: FromWorker[] = [];
  private records: Array<RunRef & { records: NewRecord[] }> = [];
  /** Frames that speak of records sent before. */
  private last: FromWorker[] = [];
  private streams = new Map<string, { run: RunRef; items: RawJson[] }>();
  private streamBytes = 0;
  private isScheduled = false;

  constructor(private readonly send: (connection: number, texts: string[]) => void) {}

  /** A connection begins (or, with 0, ended): what was meant for the last one is dropped. */
  open(connection: number): void {
    this.connection = connection;
    this.first = [];
    this.records = [];
    this.last = [];
  }

  addRecords(run: RunRef, records: NewRecord[]): void {
    if (this.connection === 0) return;
    this.records.push({ ...run, records });
    this.schedule();
  }

  addFrame(frame: FromWorker): void {
    if (this.connection === 0) return;
    (LAST.has(frame.type) ? this.last : this.first).push(frame);
    this.schedule();
  }

  addStream(run: RunRef, item: StreamItem): void {
    const text = writeJson(item);
    if (this.streamBytes + text.length > STREAM_BYTES_MAX) return;
    this.streamBytes += text.length;
    const key = `${run.run} ${run.assignment}`;
    const stream = this.streams.get(key) ?? { run, items: [] };
    stream.items.push(new RawJson(text));
    this.streams.set(key, stream);
    this.schedule();
  }

  private schedule(): void {
    if (this.isScheduled) return;
    this.isScheduled = true;
    setImmediate(() => this.flush());
  }

  /** Sends all there is, in as few frames as the limit allows. */
  flush(): void {
    this.isScheduled = false;
    if (this.connection === 0) return;
    const texts = this.first.map(writeJson);
    for (const { run, items } of this.streams.values()) packStream(run, items, texts);
    packRecords(this.records, texts);
    texts.push(...this.last.map(writeJson));
    this.first = [];
    this.records = [];
    this.last = [];
    this.streams = new Map();
    this.streamBytes = 0;
    if (texts.length > 0) this.send(this.connection, texts);
  }
}

function packStream(run: RunRef, items: RawJson[], texts: string[]): void {
  for (const batch of batches(items)) {
    texts.push(writeJson({ type: "stream", body: { ...run, items: batch } }));
  }
}

/** Cuts pieces into lists whose texts stay below the frame's limit. */
function* batches(items: RawJson[]): Generator<RawJson[]> {
  let batch: RawJson[] = [];
  let bytes = 0;
  for (const item of items) {
    const size = Buffer.byteLength(item.text);
    if (bytes + size > FRAME_BYTES && batch.length > 0) {
      yield batch;
      batch = [];
      bytes = 0;
    }
    batch.push(item);
    bytes += size;
  }
  if (batch.length > 0) yield batch;
}

function packRecords(all: Array<RunRef & { records: NewRecord[] }>, texts: string[]): void {
  let runs: Array<RunRef & { records: RawJson[] }> = [];
  let bytes = 0;
  const close = () => {
    if (runs.length > 0) texts.push(writeJson({ type: "record", body: { runs } }));
    runs = [];
    bytes = 0;
  };
  for (const { run, assignment, records } of all) {
    let batch: RawJson[] = [];
    for (const record of records) {
      const text = writeJson(record);
      const size = Buffer.byteLength(text) + 1;
      if (bytes + size > FRAME_BYTES && bytes > 0) {
        if (batch.length > 0) runs.push({ run, assignment, records: batch });
        batch = [];
        close();
      }
      batch.push(new RawJson(text));
      bytes += size;
    }
    if (batch.length > 0) runs.push({ run, assignment, records: batch });
  }
  close();
}

export type { RunRecords };
