/**
 * Every error of this package, in one tree. Inside a workflow `await` throws `StepFailed` or
 * `Cancelled`; a step's own code may throw the ones below `StepError`, or anything else.
 */

import type { ErrorBody, Failure, RunResult, StepKey } from "./protocol/rest.js";

/** The root of all errors of this package. */
export class PolosError extends Error {
  override name = "PolosError";
  /** A stable word for programs; each has a page under docs/errors. */
  readonly code: string;
  /** The way out, where one is known. */
  readonly hint: string | undefined;

  constructor(
    message: string,
    options: { code?: string | undefined; hint?: string | undefined; cause?: unknown } = {},
  ) {
    const { code = "error", hint, cause } = options;
    super(hint ? `${message}\nhint: ${hint}` : message, cause === undefined ? {} : { cause });
    this.code = code;
    this.hint = hint;
  }
}

/** Options of the errors that a step's own code throws. */
export interface StepErrorOptions {
  /** A stable word for programs, and for `retry.notOn`. */
  code?: string;
  /** Anything a program may want to know; JSON. */
  details?: unknown;
  cause?: unknown;
  /** Waits at least this long before the next attempt, in milliseconds. */
  retryAfterMs?: number;
}

/** What a step's own code throws to say more than that it failed. */
export class StepError extends PolosError {
  override name = "StepError";
  readonly details: unknown;
  readonly retryAfterMs: number | undefined;
  /** False if trying again cannot help. */
  readonly isRetryable: boolean = true;
  /** True if the run fails with it, should nobody catch it. */
  readonly isTerminal: boolean = false;
  /** True if the effect surely did not happen. */
  readonly isNotDone: boolean = false;

  constructor(message: string, options: StepErrorOptions = {}) {
    super(message, options);
    this.details = options.details;
    this.retryAfterMs = options.retryAfterMs;
  }
}

/** Is tried again as the step's retry says; `retryAfterMs` delays that. */
export class RetryableError extends StepError {
  override name = "RetryableError";
}

/** Is thrown in the workflow at once. */
export class NonRetryableError extends StepError {
  override name = "NonRetryableError";
  override readonly isRetryable = false;
}

/** Is thrown at once, and fails the run if nobody catches it. */
export class TerminalError extends StepError {
  override name = "TerminalError";
  override readonly isRetryable = false;
  override readonly isTerminal = true;
}

/** For a `once` step: the effect surely did not happen, so that trying again is safe. */
export class NotDone extends StepError {
  override name = "NotDone";
  override readonly isNotDone = true;
}

/** A step, child run, wait or question failed: what `await` throws in a workflow. */
export class StepFailed extends PolosError {
  override name = "StepFailed";

  constructor(
    /** What was recorded. */
    readonly failure: Failure,
    /** The step it came from. */
    readonly step: StepKey | undefined,
  ) {
    const cause = failure.cause ? new StepFailed(failure.cause, undefined) : undefined;
    super(failure.message, { code: failure.code, cause });
  }

  /** True if a deadline passed before the outcome came. */
  get isTimeout(): boolean {
    return this.code === "timeout";
  }

  get details(): unknown {
    return this.failure.details;
  }
}

/** A person said no. */
export class Rejected extends StepFailed {
  override name = "Rejected";
  /** What the person said besides. */
  readonly feedback: string | undefined;

  constructor(by: string, feedback: string | undefined, step: StepKey) {
    const said = feedback === undefined ? "" : `: ${feedback}`;
    super({ code: "rejected", message: `\`${by}\` said no${said}` }, step);
    this.feedback = feedback;
  }
}

/** The run is being cancelled. Let it pass; what must be undone goes into `ctx.cleanup`. */
export class Cancelled extends PolosError {
  override name = "Cancelled";

  constructor(readonly failure: Failure) {
    super(failure.message, { code: "cancelled" });
  }
}

/** A value does not fit its schema. */
export class InvalidValue extends PolosError {
  override name = "InvalidValue";

  constructor(
    what: string,
    readonly issues: readonly string[],
  ) {
    super(`${what} does not fit: ${issues.join("; ")}`, { code: "invalid_value" });
  }
}

/** Something was used in a way in which it cannot work. */
export class Misuse extends PolosError {
  override name = "Misuse";

  constructor(message: string, hint: string) {
    super(message, { code: "misuse", hint });
  }
}

/** A run did not complete: it failed, was cancelled, or is blocked and needs a person. */
export class RunFailed extends PolosError {
  override name = "RunFailed";

  constructor(readonly result: RunResult) {
    const { blocked, error, id, state } = result;
    const code = blocked?.code ?? error?.code ?? state;
    const said = blocked?.message ?? error?.message ?? "it gives no reason";
    super(`run \`${id}\` is ${state}: ${said}`, { code, hint: blocked?.hint });
  }

  get runId(): string {
    return this.result.id;
  }
}

/** The server said no, and how to mend it. */
export class ApiError extends PolosError {
  override name = "ApiError";
  readonly details: unknown;

  constructor(
    /** The HTTP status. */
    readonly status: number,
    body: ErrorBody,
  ) {
    super(body.message, { code: body.code, hint: body.hint || undefined });
    this.details = body.details;
  }

  /** True if the same call may succeed later. */
  get isRetryable(): boolean {
    return [429, 502, 503, 504].includes(this.status);
  }
}

/** The server was not reached, or the answer broke off. */
export class Unreachable extends PolosError {
  override name = "Unreachable";
  readonly isRetryable = true;

  constructor(url: string, cause: unknown) {
    const said = cause instanceof Error ? describeCause(cause) : String(cause);
    const hint = "is `polos dev` or `polos serve` running there?";
    super(`\`${url}\` cannot be reached: ${said}`, { code: "no_server", hint, cause });
  }
}

/** No server is known, or none can be started. */
export class NoServer extends PolosError {
  override name = "NoServer";

  constructor(message: string, hint: string) {
    super(message, { code: "no_server", hint });
  }
}

/** The server does not want this worker: trying again cannot help. */
export class WorkerRefused extends PolosError {
  override name = "WorkerRefused";

  constructor(message: string, code = "worker") {
    const hint = "check the token (POLOS_TOKEN) and that both sides are of compatible versions";
    super(`the server refused this worker: ${message}`, { code, hint });
  }
}

/** `fetch failed` says nothing; what it hides does. */
function describeCause(error: Error): string {
  const inner = error.cause;
  return inner instanceof Error && inner.message !== "" ? inner.message : error.message;
}
