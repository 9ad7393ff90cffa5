/** A run's events as they happen: server-sent events, resumed where they broke off. */

import { ApiError, PolosError, Unreachable } from "../errors.js";
import { parseJson } from "../protocol/json.js";
import type { JournalRecord, State, StateEvent, StreamEvent } from "../protocol/rest.js";
import { fromValue } from "../protocol/value.js";
import type { Http } from "./http.js";

/** The longest line of an event stream that is taken. */
const LINE_CHARACTERS_MAX = 4 << 20;
/** How often in a row a broken stream is taken up again without an event between. */
const RESUMES_MAX = 20;
/** The wait before a stream is taken up again. */
const RESUME_MS = 300;

/** What happened in a run. `position` goes into `after`, to go on behind it. */
export type RunEvent = { readonly position: string } & (
  | { readonly type: "record"; readonly record: JournalRecord }
  | {
      readonly type: "stream";
      /** The step it comes from; empty for the run. */
      readonly key: string;
      /** Counts up when the step runs again: what came before is void. */
      readonly attempt: number;
      /** `text`, `thinking`, `stdout`, `progress` and so on. */
      readonly kind: string;
      readonly data: unknown;
    }
  | { readonly type: "state"; readonly state: State; readonly why: string }
);

/** Where to begin, and when to stop. */
export interface EventsOptions {
  /** The position of the last event seen. */
  after?: string;
  signal?: AbortSignal;
}

const ENDED: ReadonlySet<State> = new Set(["completed", "failed", "cancelled"]);

/** The events of a run, from its beginning or after a position; they end with the run. */
export async function* runEvents(
  http: Http,
  runId: string,
  options: EventsOptions,
): AsyncGenerator<RunEvent, void, undefined> {
  let last = options.after;
  let resumes = 0;
  for (;;) {
    try {
      for await (const event of connection(http, runId, last, options.signal)) {
        resumes = 0;
        last = event.position;
        yield event;
        if (event.type === "state" && ENDED.has(event.state)) return;
      }
    } catch (error) {
      if (!isBroken(error)) throw error;
    }
    resumes += 1;
    if (resumes > RESUMES_MAX) {
      throw new Unreachable(http.address.url, "the stream of events keeps breaking off");
    }
    options.signal?.throwIfAborted();
    await new Promise((resolve) => setTimeout(resolve, RESUME_MS));
  }
}

function isBroken(error: unknown): boolean {
  return error instanceof ApiError ? error.isRetryable : error instanceof Unreachable;
}

async function* connection(
  http: Http,
  runId: string,
  last: string | undefined,
  signal: AbortSignal | undefined,
): AsyncGenerator<RunEvent, void, undefined> {
  const headers = new Headers({ accept: "text/event-stream" });
  if (last !== undefined) headers.set("last-event-id", last);
  const init: RequestInit = signal ? { headers, signal } : { headers };
  const response = await http.fetch(`/v1/runs/${runId}/events`, init);
  const parser = new EventParser();
  const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader();
  try {
    for (;;) {
      const piece = await reader?.read().catch((cause: unknown) => {
        signal?.throwIfAborted();
        throw new Unreachable(http.address.url, cause);
      });
      if (!piece || piece.done) return;
      for (const parsed of parser.take(piece.value)) {
        const event = read(parsed);
        if (event) yield event;
      }
    }
  } finally {
    await reader?.cancel().catch(() => {});
  }
}

function read({ id: position, name, data }: Parsed): RunEvent | undefined {
  if (data === "" || !["record", "stream", "state"].includes(name)) return undefined;
  const json = parseJson(data) as { [name: string]: unknown };
  // The body is the variant's content; a body that names its variant is taken too.
  const body = json[name] ?? json;
  if (name === "record") return { position, type: "record", record: body as JournalRecord };
  if (name === "state") {
    const { state, why } = body as StateEvent;
    return { position, type: "state", state, why };
  }
  const { item } = body as StreamEvent;
  const { key, attempt, kind, data: value } = item;
  return { position, type: "stream", key, attempt, kind, data: fromValue(value) };
}

/** One event as the stream says it. */
export interface Parsed {
  id: string;
  name: string;
  data: string;
}

/** Cuts a stream of text into events: any line ends, comments, data of several lines. */
export class EventParser {
  private rest = "";
  private id = "";
  private name = "";
  private data: string[] = [];
  private isFirst = true;

  take(text: string): Parsed[] {
    const events: Parsed[] = [];
    let whole = this.rest + text;
    if (this.isFirst && whole !== "") {
      whole = whole.replace(/^\uFEFF/, "");
      this.isFirst = false;
    }
    // A `\r` at the end may be half of a line end.
    const held = whole.endsWith("\r") ? "\r" : "";
    const lines = whole.slice(0, whole.length - held.length).split(/\r\n|\r|\n/);
    this.rest = (lines.pop() ?? "") + held;
    if (this.rest.length > LINE_CHARACTERS_MAX) {
      throw new PolosError("a line of the event stream is too long", { code: "http" });
    }
    for (const line of lines) {
      const event = this.line(line);
      if (event) events.push(event);
    }
    return events;
  }

  private line(line: string): Parsed | undefined {
    if (line === "") return this.dispatch();
    const colon = line.indexOf(":");
    const field = colon === -1 ? line : line.slice(0, colon);
    const value = colon === -1 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (field === "id") this.id = value;
    else if (field === "event") this.name = value;
    else if (field === "data") this.data.push(value);
    return undefined;
  }

  private dispatch(): Parsed | undefined {
    const event = { id: this.id, name: this.name, data: this.data.join("\n") };
    const hasData = this.data.length > 0;
    this.name = "";
    this.data = [];
    return hasData ? event : undefined;
  }
}
