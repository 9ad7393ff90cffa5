/** The runs in memory, how far each knows its journal, and which of them wait: what hello says. */

import type { FromServer, Held as HeldRun, Wait } from "../protocol/frames.js";
import { parseJson } from "../protocol/json.js";

interface Standing {
  assignment: number;
  /** Up to where the journal is known: the program's thread writes it, once it has the run. */
  seq: Int32Array | undefined;
  /** How many `append` frames the connection has read for it. */
  read: number;
  /** What it waits for, and how many of those frames it had taken in then. */
  waiting: { taken: number; wait: Wait } | undefined;
}

const COUNTED = /^\s*\{\s*"type"\s*:\s*"(start|append)"/;
/** As the server writes it; anything else is parsed. */
const RUN = /^\{"type":"\w+","body":\{"run":"(run_[0-9a-z]+)","assignment":(\d+)/;

export class Held {
  private readonly runs = new Map<string, Standing>();

  hold(run: string, assignment: number, seq: Int32Array): void {
    const read = this.of(run, assignment)?.read ?? 0;
    this.runs.set(run, { assignment, seq, read, waiting: undefined });
  }

  drop(run: string, assignment: number): void {
    if (this.of(run, assignment)) this.runs.delete(run);
  }

  waits(run: string, assignment: number, taken: number, wait: Wait | undefined): void {
    const standing = this.of(run, assignment);
    if (standing) standing.waiting = wait && { taken, wait };
  }

  private of(run: string, assignment: number): Standing | undefined {
    const standing = this.runs.get(run);
    return standing?.assignment === assignment ? standing : undefined;
  }

  /** A frame was read: a `start` gives a run, an `append` may let it go on. */
  read(text: string): void {
    const type = COUNTED.exec(text)?.[1];
    if (type === undefined) return;
    const found = RUN.exec(text);
    const { run, assignment } = found
      ? { run: found[1] ?? "", assignment: Number(found[2]) }
      : (parseJson(text) as FromServer & { type: "append" }).body;
    if (type === "start") {
      this.runs.set(run, { assignment, seq: undefined, read: 0, waiting: undefined });
    } else {
      const standing = this.of(run, assignment);
      if (standing) standing.read += 1;
    }
  }

  list(): HeldRun[] {
    return [...this.runs].flatMap(([run, { assignment, seq, read, waiting }]) => {
      // The program's thread has not seen it yet, and will be told that it is gone.
      if (!seq) return [];
      // If more was read since, it may have gone on.
      const wait = waiting && waiting.taken === read ? { wait: waiting.wait } : {};
      return [{ run, assignment, seq: Atomics.load(seq, 0), ...wait }];
    });
  }
}
