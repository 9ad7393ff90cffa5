/** The effects log of a scenario, and the faults that happen at its points. */

import { appendFileSync, existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { StepContext } from "@polos/sdk";

interface Fault {
  at: { step: string; point: string; nth?: number };
  do: string;
  build?: string;
}

const PAUSE_MS = 10;

export class Faults {
  private readonly faults: Fault[];

  constructor(private readonly place: string) {
    const text = readFileSync(process.env.SCENARIO ?? "", "utf8");
    this.faults = (JSON.parse(text) as { faults?: Fault[] }).faults ?? [];
  }

  private lines(file: string): string[] {
    const path = join(this.place, file);
    if (!existsSync(path)) return [];
    return readFileSync(path, "utf8")
      .split("\n")
      .filter((line) => line !== "");
  }

  private append(file: string, line: string): void {
    appendFileSync(join(this.place, file), `${line}\n`);
  }

  /** An effect happens: its line is written. How many there were of its key before. */
  act(step: StepContext): number {
    const before = this.acted(step.key);
    const { key, attempt, idempotencyKey } = step;
    this.append("effects", JSON.stringify({ key, attempt, idempotency_key: idempotencyKey }));
    return before;
  }

  private acted(key: string): number {
    return this.lines("effects").filter((line) => (JSON.parse(line) as { key: string }).key === key)
      .length;
  }

  hasActed(idempotencyKey: string): boolean {
    return this.lines("effects").some((line) => line.includes(JSON.stringify(idempotencyKey)));
  }

  /** A point is reached, in a step; waits until the fault that is due there has been done. */
  async reached(key: string, point: string): Promise<void> {
    for (const number of this.due(key, point)) {
      this.begin(number);
      while (this.isWaitedFor(number)) {
        await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
      }
    }
  }

  /** The same in a workflow's body, which must not wait for anything but its context. */
  reachedSync(key: string, point: string): void {
    for (const number of this.due(key, point)) {
      this.begin(number);
      const pause = new Int32Array(new SharedArrayBuffer(4));
      while (this.isWaitedFor(number)) Atomics.wait(pause, 0, 0, PAUSE_MS);
    }
  }

  private due(key: string, point: string): number[] {
    const here = (fault: Fault) => fault.at.step === key && fault.at.point === point;
    if (!this.faults.some(here)) return [];
    this.append("points", `${point} ${key}`);
    const nth = this.lines("points").filter((line) => line === `${point} ${key}`).length;
    return this.faults.flatMap((fault, number) =>
      here(fault) && (fault.at.nth ?? 1) === nth && !existsSync(this.file(number, "asked"))
        ? [number]
        : [],
    );
  }

  /** Marked as done before it acts: a fault happens once. */
  private begin(number: number): void {
    writeFileSync(this.file(number, "asked"), "");
    if (this.faults[number]?.do === "kill_worker") process.kill(process.pid, "SIGKILL");
  }

  /** Where the connection breaks off, the worker goes on at once. */
  private isWaitedFor(number: number): boolean {
    const isDrop = this.faults[number]?.do === "drop_connection";
    return !isDrop && !existsSync(this.file(number, "done"));
  }

  private file(number: number, state: string): string {
    return join(this.place, `fault-${number}.${state}`);
  }
}
