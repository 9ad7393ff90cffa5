/** Errors as they are recorded, and recorded failures as errors. */

import { Cancelled, PolosError, StepError, StepFailed } from "../errors.js";
import type { Failure, StepKey } from "../protocol/frames.js";
import { encode, Unrecordable } from "../protocol/value.js";
import type { Fault, Outcome } from "../replay/request.js";

/** How many causes of causes are recorded. */
const CAUSES_MAX = 8;

/** What is recorded of anything that was thrown. */
export function failureOf(thrown: unknown, depth = 0): Failure {
  if (thrown instanceof StepFailed || thrown instanceof Cancelled) return thrown.failure;
  if (!(thrown instanceof Error)) return { code: "error", message: wellFormed(String(thrown)) };
  const failure: Failure = { code: codeOf(thrown), message: wellFormed(thrown.message) };
  if (thrown.name !== "Error") failure.kind = wellFormed(thrown.name);
  if (thrown instanceof StepError) {
    if (thrown.isTerminal) failure.terminal = true;
    const details = recordable(thrown.details);
    if (details !== undefined) failure.details = details;
  }
  if (thrown instanceof Unrecordable) failure.terminal = true;
  if (thrown.cause !== undefined && depth < CAUSES_MAX) {
    failure.cause = failureOf(thrown.cause, depth + 1);
  }
  return failure;
}

function codeOf(error: Error): string {
  if (error instanceof PolosError) return error.code;
  return error instanceof Unrecordable ? "value" : "error";
}

function wellFormed(text: string): string {
  return text.toWellFormed();
}

function recordable(details: unknown): unknown {
  if (details === undefined) return undefined;
  try {
    return encode(details);
  } catch {
    return undefined;
  }
}

/** What a failed attempt reports. */
export function faultOf(thrown: unknown): Fault {
  const failure = failureOf(thrown);
  const said = thrown instanceof StepError ? thrown : undefined;
  return {
    failure,
    retryable: said?.isRetryable ?? !failure.terminal,
    retryAfterMs: said?.retryAfterMs,
    notDone: said?.isNotDone ?? false,
  };
}

/** The error with which an outcome that is no value is thrown. */
export function errorOf(outcome: Exclude<Outcome, { type: "value" }>, step: StepKey): Error {
  if (outcome.type === "cancelled") return new Cancelled(outcome.failure);
  return new StepFailed(outcome.failure, step);
}

/** What the server is told of an error that nobody caught, and the step it came from. */
export function uncaught(thrown: unknown): { failure: Failure; step: StepKey | undefined } {
  const failure = failureOf(thrown);
  if (thrown instanceof Cancelled)
    return { failure: { ...failure, code: "cancelled" }, step: undefined };
  return { failure, step: thrown instanceof StepFailed ? thrown.step : undefined };
}
