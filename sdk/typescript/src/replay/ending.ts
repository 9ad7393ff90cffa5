/**
 * How a run leaves this process: completed, failed, blocked or given back. What was said is said
 * again after a re-attachment, until the server answers.
 */

import type { Blocked, Failure, FromWorker, StepKey, Value } from "../protocol/frames.js";
import { fitsInline, storeOutput } from "./blobs.js";
import { admitOrphans } from "./diverge.js";
import type { Machine } from "./machine.js";

export type Ending =
  | { type: "complete"; value: Value }
  | { type: "fail"; error: Failure; step?: StepKey | undefined }
  | { type: "block"; blocked: Blocked }
  | { type: "release" };

/** The code has ended with an output. */
export function complete(m: Machine, value: Value): void {
  if (!m.isRunning || !admitOrphans(m)) return;
  if (fitsInline(value)) {
    end(m, { type: "complete", value });
  } else {
    m.stopAll();
    m.phase = "storing";
    storeOutput(m, value);
  }
}

/** An error has left the code, from a step if `step` says so. */
export function fail(m: Machine, error: Failure, step: StepKey | undefined): void {
  if (!m.isRunning || (!m.cancel && !admitOrphans(m))) return;
  end(m, { type: "fail", error, step });
}

/** The run cannot go on without a person. */
export function block(m: Machine, blocked: Blocked): void {
  if (m.phase === "loading" || m.phase === "running") end(m, { type: "block", blocked });
}

/** The code misused its context. */
export function blockMisuse(m: Machine, message: string, hint: string): void {
  block(m, { code: "misuse", message, hint });
}

export function blockUnreadable(m: Machine, cause: unknown): void {
  const said = cause instanceof Error ? cause.message : String(cause);
  blockMisuse(
    m,
    `a record of this run cannot be read or written by this build: ${said}`,
    "start a worker of the version that wrote it, then `polos runs resume RUN`",
  );
}

export function end(m: Machine, ending: Ending): void {
  m.stopAll();
  m.waiting = undefined;
  m.phase = "ending";
  m.ending = ending;
  if (m.wire.canSend) repeatEnding(m);
}

export function repeatEnding(m: Machine): void {
  const { ending } = m;
  if (m.phase !== "ending" || !ending) return;
  m.frame(frameOf(m, ending));
}

function frameOf(m: Machine, ending: Ending): FromWorker {
  const at = { ...m.runRef(), n: m.wire.n };
  switch (ending.type) {
    case "complete":
      return { type: "complete", body: { ...at, value: ending.value } };
    case "fail": {
      const step = ending.step === undefined ? {} : { step: ending.step };
      return { type: "fail", body: { ...at, error: ending.error, ...step } };
    }
    case "block":
      return { type: "block", body: { ...at, blocked: ending.blocked } };
    case "release":
      return { type: "release", body: m.runRef() };
  }
}
