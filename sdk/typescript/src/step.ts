/** Steps: an effect with a name, recorded once, tried again as its options say. */

import type { Duration } from "./duration.js";
import type { FingerprintPolicy } from "./replay/request.js";
import type { Retry } from "./replay/retry.js";

export type { FingerprintPolicy, Retry };

/** What a step's own code may know and say. */
export interface StepContext {
  /** The key to hand to the other side: the same over all attempts, on any machine. */
  readonly idempotencyKey: string;
  /** Aborted when the step is stopped: its time is over, the run is cancelled, a race is lost. */
  readonly signal: AbortSignal;
  /** Which attempt this is, from 1. */
  readonly attempt: number;
  /** The step's key in the journal. */
  readonly key: string;
  /** The run. */
  readonly runId: string;
  /** Sends a piece of live output: `text`, `stdout`, `progress`, or a word of your own. */
  stream(kind: string, data: unknown): void;
  /** Records what the step cost, in US dollars. */
  cost(dollars: number): void;
  /** Records the tokens that went in and came out. */
  tokens(input: number, output: number): void;
}

/** What `verify` answers: whether an effect whose outcome nobody knows went through. */
export type Verdict<T> =
  | { readonly verdict: "done"; readonly value: T }
  | { readonly verdict: "not_done" }
  | { readonly verdict: "unknown" };

/** It went through, with this result. */
export function done(): Verdict<void>;
export function done<T>(value: T): Verdict<T>;
export function done<T>(value?: T): Verdict<T | undefined> {
  return { verdict: "done", value };
}

/** It did not happen, and may run again, with the same idempotency key. */
export const notDone: Verdict<never> = { verdict: "not_done" };

/** Nobody can say: a person is asked. */
export const unknown: Verdict<never> = { verdict: "unknown" };

/** How a step is to be carried out. */
export interface StepOptions<T = unknown, Input = unknown> {
  /**
   * `repeatable` (the default): after a crash between effect and record it runs again, with the
   * same idempotency key. `once`: it is never blindly repeated.
   */
  effect?: "repeatable" | "once";
  /**
   * The arguments: their fingerprint is recorded and compared on replay, and they are shown to
   * `verify` and to a person who settles the step.
   */
  input?: Input;
  /** How a `once` step in doubt is settled without a person. Throwing is `unknown`. */
  verify?: (
    input: Input,
    idempotencyKey: string,
    step: StepContext,
  ) => Verdict<T> | PromiseLike<Verdict<T>>;
  /** How often a failed attempt is made again; `false` for never. */
  retry?: Retry | false;
  /** How long an attempt may take; ten minutes unless said. */
  timeout?: Duration;
  /** The name under which an earlier build recorded this step. */
  was?: string;
  /** What sort of step it is, for people and totals: `model`, `tool`, `exec`. */
  label?: string;
  /** What to do if the recorded arguments were others; by default the run blocks. */
  onMismatch?: FingerprintPolicy;
  /**
   * Says that the receiver acts at most once per idempotency key, however late a request comes: a
   * step in doubt is then verified at once, not only when its worker can act no more.
   */
  fenced?: boolean;
}
