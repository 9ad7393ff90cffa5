/** When and how often a failed attempt is made again. */

/** How often a step is tried, and how long to wait in between; what is absent has its default. */
export interface Retry {
  /** How many attempts there are in all; 1 for no retry. 5 by default. */
  attempts?: number;
  /** The wait after the first failed attempt, in milliseconds. 500 by default. */
  initialMs?: number;
  /** By what the wait grows after each further one. 2 by default. */
  factor?: number;
  /** The longest wait, in milliseconds; a `Retry-After` hint may exceed it. 30,000 by default. */
  maxMs?: number;
  /** The share of the wait, from 0 to 1, that is drawn instead of fixed. 0.2 by default. */
  jitter?: number;
  /** Codes of errors that are not tried again. */
  notOn?: readonly string[];
}

export type RetryPolicy = Required<Retry>;

const DEFAULT: RetryPolicy = {
  attempts: 5,
  initialMs: 500,
  factor: 2,
  maxMs: 30_000,
  jitter: 0.2,
  notOn: [],
};

/** A policy with every default filled in. */
export function retryPolicy(retry: Retry = {}): RetryPolicy {
  return { ...DEFAULT, ...retry };
}

/** How long to wait after failed attempt `attempt` (from 1); `unit` in 0..1 decides the jitter. */
export function delayMs(
  retry: RetryPolicy,
  attempt: number,
  unit: number,
  hintMs: number | undefined,
): number {
  const growth = Math.max(retry.factor, 1) ** Math.min(attempt - 1, 64);
  const full = Math.trunc(Math.min(retry.initialMs * growth, retry.maxMs));
  const jitter = Math.min(Math.max(retry.jitter, 0), 1);
  return Math.max(Math.trunc(full * (1 - jitter * unit)), hintMs ?? 0);
}
