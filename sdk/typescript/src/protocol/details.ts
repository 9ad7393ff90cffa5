/** What the kinds of record say in `detail`: crates/polos-protocol/src/record.rs, by hand. */

import type { Failure, RunId, RunOptions, StepKey, Value } from "./frames.js";

/** Whether a step's effect may happen again when nobody knows if it did. */
export type Effect = "repeatable" | "once";

export interface StepDetail {
  label?: string;
  effect?: Effect;
  inserted?: boolean;
  settled_by?: string;
  last_attempts?: AttemptDetail[];
  cost_micros?: number;
  tokens?: [number, number];
}

export interface IntentDetail {
  timeout_ms: number;
  idempotency_key: string;
  label?: string;
  has_verify?: boolean;
}

export interface AttemptDetail {
  attempt: number;
  next_ms: number;
  message?: string;
}

export type Open =
  | { timer: { at: number } }
  | { event: OpenEvent }
  | { child: OpenChild }
  | { approval: OpenApproval };

export interface OpenEvent {
  topic: string;
  signal?: boolean;
  deadline_ms?: number;
}

export interface OpenChild {
  workflow: string;
  input: Value;
  options?: RunOptions;
  detached?: boolean;
}

export interface OpenApproval {
  title: string;
  kind?: "approval" | "answer" | "settle";
  subject?: unknown;
  subject_hash?: string;
  form?: unknown;
  scopes?: string[];
  deadline_ms?: number;
  assignees?: string[];
}

/** The value with which an approval resolves. */
export interface Answer {
  approval: string;
  approved: boolean;
  feedback?: string;
  value?: unknown;
  scope?: string;
  by: string;
  at: number;
}

/** The value with which a wait on a topic resolves. */
export interface EventValue {
  id: string;
  position: number;
  at: number;
  payload: Value;
}

export interface EmitDetail {
  topic: string;
  run?: RunId;
}

export type Marker = { patched: string } | { removed: string } | { orphaned: string } | "cleanup";

/** A failure with a code and a message. */
export function failure(code: string, message: string, more: Partial<Failure> = {}): Failure {
  return { code, message, ...more };
}

export type { Failure, StepKey, Value };
