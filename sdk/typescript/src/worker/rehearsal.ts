/**
 * A dry replay: the code runs against a stored journal, and the first thing that it would do anew is
 * said instead of done. No effect begins, not even the function of a step is called.
 */

import { type Body, Execution, type Host } from "../context/execution.js";
import type { Marker, Open } from "../protocol/details.js";
import type {
  Blocked,
  Finding,
  FromServer,
  FromWorker,
  NewRecord,
  Replayed,
  Start,
  Wait,
} from "../protocol/frames.js";
import { takeBlob } from "../replay/blobs.js";
import { unaskedKeys } from "../replay/diverge.js";
import { settings } from "../replay/machine.js";
import type { Begin } from "../replay/request.js";
import { recorded } from "../replay/send.js";

/** How many things are named before the rest is counted. */
const SHOWN = 3;

/** What the code would do at the journal's end. */
interface Turn {
  /** What is begun, opened or published: the step and words for it. */
  begun: Array<{ key: string; words: string }>;
  blocked: Blocked | undefined;
  /** How the run would rest or end, in words. */
  rests: string | undefined;
  /** Records that only mark something: they are taken as recorded. */
  marked: { n: number; count: number } | undefined;
}

export class Rehearsal implements Host {
  private readonly execution: Execution;
  private readonly notes: string[] = [];
  private readonly nowMs: number;
  private turn: Turn = { begun: [], blocked: undefined, rests: undefined, marked: undefined };
  /** True while a page or a value is asked for and has not come. */
  private isWaiting = false;
  private raised: string | undefined;

  /** `ask` sends what the code needs: the answer to a page, the request for a value. */
  constructor(
    private readonly start: Start,
    body: Body,
    private readonly build: string,
    private readonly ask: (frame: FromWorker) => void,
  ) {
    this.nowMs = Math.max(Date.now(), start.now);
    const heard: Body = async (execution, input) => {
      try {
        return await body(execution, input);
      } catch (error) {
        this.raised = error instanceof Error ? error.message : String(error);
        throw error;
      }
    };
    this.execution = new Execution(start, heard, { ...settings(build), hotMs: 0 }, this);
    this.execution.turn();
  }

  /** A page or a value that was asked for. */
  take(frame: FromServer): void {
    this.isWaiting = false;
    if (frame.type === "append") {
      this.execution.input((machine, now) => machine.appended(frame.body, now));
    } else if (frame.type === "blob") {
      this.execution.input((machine) => takeBlob(machine, frame.body));
    }
  }

  /** Lets the code go as far as it goes: what was found, or nothing if it needs a frame. */
  async goOn(): Promise<Replayed | undefined> {
    for (;;) {
      do await new Promise((resolve) => setImmediate(resolve));
      while (!this.execution.isIdle);
      const { machine } = this.execution;
      if (!machine.isLoaded && !this.isWaiting) machine.askMore();
      if (!machine.isLoaded) this.execution.turn();
      const finding = this.found();
      if (finding) return this.replayed(finding);
      if (this.isWaiting) return undefined;
      const { marked } = this.turn;
      if (!marked) {
        const message = "the code neither goes on nor waits for anything";
        return this.replayed({ result: "unchecked", message });
      }
      this.turn.marked = undefined;
      const seq = machine.have + marked.count;
      this.execution.input((m, now) => recorded(m, marked.n, seq, now, now));
    }
  }

  private found(): Finding | undefined {
    const { begun, blocked, rests } = this.turn;
    if (blocked) return this.disagreement(blocked);
    if (begun.length > 0) {
      const unchecked = unaskedKeys(this.execution.machine);
      if (unchecked.length === 0) {
        return { result: "agrees", next: joined(begun.map(({ words }) => words)) };
      }
      return { result: "inserts", steps: begun.map(({ key }) => key), unchecked };
    }
    return rests === undefined ? undefined : { result: "agrees", next: rests };
  }

  private disagreement(blocked: Blocked): Finding {
    if (blocked.code === "step_in_doubt") return { result: "agrees", next: blocked.message };
    if (this.raised !== undefined) this.notes.push(`the code has raised: ${this.raised}`);
    return { result: "differs", blocked };
  }

  private replayed(finding: Finding): Replayed {
    return { run: this.start.run, build: this.build, finding, notes: this.notes };
  }

  now(): number {
    return this.nowMs;
  }

  begin({ attempt, key, kind }: Begin): void {
    const again = attempt > 1 ? `, attempt ${attempt}` : "";
    const words =
      kind === "attempt"
        ? `runs \`${key}\`${again}`
        : `asks the receiver whether \`${key}\` went through`;
    this.turn.begun.push({ key, words });
  }

  records(records: NewRecord[]): void {
    for (const record of records) {
      if (record.kind === "marker") this.notes.push(markerWords(record.detail as Marker));
      // The loser of a race is known from the journal.
      else if (record.kind !== "lost") {
        this.turn.begun.push({ key: record.key, words: recordWords(record) });
      }
    }
    const count = (this.turn.marked?.count ?? 0) + records.length;
    this.turn.marked = { n: records.at(-1)?.n ?? 0, count };
  }

  frame(frame: FromWorker): void {
    switch (frame.type) {
      case "more":
      case "fetch":
        this.isWaiting = true;
        this.ask(frame);
        break;
      case "block":
        this.turn.blocked = frame.body.blocked;
        break;
      case "complete":
        this.turn.rests = "ends with its output";
        break;
      case "store":
        this.turn.rests = "gives a large value";
        break;
      case "fail":
        this.turn.rests = `ends with an error: ${frame.body.error.message} (${frame.body.error.code})`;
        break;
      case "wait":
        this.turn.rests = `waits for ${joined(leaves(frame.body.wait))}`;
        break;
      default:
        break;
    }
  }

  stop(): void {}

  stream(): void {}

  /** What is worth a word stands in a marker's record as well. */
  warn(): void {}
}

function markerWords(marker: Marker): string {
  if (marker === "cleanup") return "cleanup begins";
  if ("patched" in marker) return `it takes the new path of patch \`${marker.patched}\``;
  if ("removed" in marker) return `the code has removed \`${marker.removed}\``;
  return `\`${marker.orphaned}\` is recorded and not asked for any more`;
}

function recordWords({ detail, key, kind }: NewRecord): string {
  if (kind === "intent") return `runs the \`once\` step \`${key}\``;
  if (kind === "emit") return `publishes \`${key}\``;
  if (kind === "attempt") return `tries \`${key}\` again`;
  return kind === "open" ? openWords(detail as Open, key) : `records the outcome of \`${key}\``;
}

function openWords(open: Open, key: string): string {
  if ("timer" in open) return `sleeps at \`${key}\``;
  if ("event" in open) return `waits for an event on \`${open.event.topic}\` at \`${key}\``;
  if ("child" in open) return `starts \`${open.child.workflow}\` as \`${key}\``;
  const { kind, title } = open.approval;
  return kind === "settle" ? title : `asks a person at \`${key}\`: ${title}`;
}

function leaves(wait: Wait): string[] {
  if ("key" in wait) return [`\`${wait.key}\``];
  if ("until" in wait) return ["the next attempt"];
  const inner = "any" in wait ? wait.any : "all" in wait ? wait.all : wait.first;
  return inner.flatMap(leaves);
}

/** The first few, and how many more. */
function joined(words: string[]): string {
  const shown = words.slice(0, SHOWN).join(", ");
  return words.length > SHOWN ? `${shown} and ${words.length - SHOWN} more` : shown;
}
