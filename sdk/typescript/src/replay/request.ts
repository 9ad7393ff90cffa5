/** What the code asks of the machine, and what effects report back. */

import type { AttemptDetail, Effect, EmitDetail, Open } from "../protocol/details.js";
import type { Failure, StepKey, Value } from "../protocol/frames.js";
import type { RawJson } from "../protocol/json.js";
import type { RetryPolicy } from "./retry.js";
import type { ScopeId } from "./scope.js";

/** A request of the code, in the order in which they were made. */
export type RequestId = number;
/** One beginning of an effect: an attempt or a verification. */
export type EffectId = number;

/** What the code asks for. */
export interface Ask {
  /** The scope in which it asks. */
  scope: ScopeId;
  /** The step's name; its key is made of it. */
  name: string;
  /** The name under which an earlier build recorded it. */
  was?: string | undefined;
  /** True if the request is itself an item of `all`, with no code behind it that could go on. */
  direct: boolean;
  what: What;
}

/** The thing asked for. */
export type What =
  | { type: "step"; spec: StepSpec }
  | { type: "open"; spec: OpenSpec }
  | { type: "emit"; detail: EmitDetail; payload: Value };

/** Something to wait for. */
export interface OpenSpec {
  open: Open;
  /** True if the code wants to hear that it is opened, and takes the outcome later or never. */
  handle: boolean;
  /** A hash of the arguments, for a child. */
  fingerprint?: string | undefined;
  onMismatch: FingerprintPolicy;
}

/** What to do when a recorded step is asked for with other arguments. */
export type FingerprintPolicy = "block" | "accept" | "warn";

/** How a step is to be carried out. */
export interface StepSpec {
  effect: Effect;
  /** What sort of step, for people and totals. */
  label?: string | undefined;
  retry: RetryPolicy;
  /** How long an attempt may take. */
  timeoutMs: number;
  /** A hash of the arguments, where they are compared on replay. */
  fingerprint?: string | undefined;
  onMismatch: FingerprintPolicy;
  /** True if a step in doubt can be settled by asking the world. */
  hasVerify: boolean;
  /** True if the receiver acts at most once per idempotency key, however late a request comes. */
  isFenced: boolean;
  /** What a person sees when asked to settle the step. */
  args?: RawJson | undefined;
}

/** What the code is handed. */
export type Outcome =
  | { type: "value"; value: Value | undefined }
  | { type: "failed"; failure: Failure }
  | { type: "cancelled"; failure: Failure };

/** An effect to begin now. */
export interface Begin {
  effect: EffectId;
  request: RequestId;
  key: StepKey;
  kind: EffectKind;
  /** Which attempt, from 1. */
  attempt: number;
  /** After this time it is to be stopped and reported as timed out. */
  timeoutMs: number;
}

/** The step itself, or the question whether an earlier attempt went through. */
export type EffectKind = "attempt" | "verify";

/** How an effect ended. A value is JSON already, or absent for `undefined`. */
export type EffectOutcome =
  | { type: "value"; value: RawJson | undefined }
  | { type: "failed"; fault: Fault }
  | { type: "verified"; verdict: Settlement };

/** What a verification found, its value written. */
export type Settlement =
  | { type: "done"; value: RawJson | undefined }
  | { type: "not_done" }
  | { type: "unknown" };

/** A failed attempt. */
export interface Fault {
  failure: Failure;
  /** False if trying again cannot help. */
  retryable: boolean;
  /** How long the other side asked to wait. */
  retryAfterMs?: number | undefined;
  /** True if the effect surely did not happen. */
  notDone: boolean;
}

/** How an effect ended, and when, and what it cost. */
export interface EffectReport {
  outcome: EffectOutcome;
  startedMs: number;
  endedMs: number;
  costMicros?: number | undefined;
  tokens?: [number, number] | undefined;
}

/** An attempt that outlived its time limit. */
export function timedOut(timeoutMs: number): Fault {
  const message = `the attempt took longer than its limit of ${timeoutMs} ms`;
  return { failure: { code: "timeout", message }, retryable: true, notDone: false };
}

/** Where a request stands. */
export type Stage =
  /** Nothing has been done for it in this process. */
  | { at: "fresh" }
  /** The next attempt begins at this time. */
  | { at: "backoff"; due: number }
  /** A record (intent or attempt) must be durable before the effect begins. */
  | { at: "gate"; due: number }
  /** The effect runs. */
  | { at: "running"; effect: EffectId }
  /** Nobody knows how it ended; to be settled at this time. */
  | { at: "doubt"; due: number }
  /** The world is being asked. */
  | { at: "verifying"; effect: EffectId }
  /** A person is being asked, under this key. */
  | { at: "settling"; question: StepKey }
  /** The outcome, or the opening, is on its way to the journal. */
  | { at: "sent" }
  /** It is opened, and has no outcome yet. */
  | { at: "opened" }
  /** The outcome is in the journal and waits for its turn. */
  | { at: "recorded" }
  /** The outcome has been handed to the code. */
  | { at: "done" };

/** A request in the machine. */
export interface Request {
  key: StepKey;
  scope: ScopeId;
  name: string;
  direct: boolean;
  /** The scope of the code that awaits it: a handle's may be another than its own. */
  awaitedIn: ScopeId;
  what: What;
  stage: Stage;
  /** A newer build asked for it before recorded steps. */
  inserted: boolean;
  /** The highest sequence number handed to the code when it asked. */
  after: number;
  requestedMs: number;
  /** The attempt that runs or is to run next, from 1. */
  attempt: number;
  /** Failed attempts that have no record of their own. */
  unjournaled: AttemptDetail[];
  /** What made a `once` step doubtful in this process. */
  cause: Failure | undefined;
  /** The intent of a `once` step is durable. */
  intended: boolean;
  /** How many settle questions were opened. */
  settles: number;
  /** The opening of a handle has been handed to the code. */
  opened: boolean;
  outcome: Outcome | undefined;
  /** Tells the code that it has its outcome, or that its opening was handed. */
  wake: (() => void) | undefined;
}

export const spec = (r: Request): StepSpec | undefined =>
  r.what.type === "step" ? r.what.spec : undefined;

export const isOnce = (r: Request): boolean => spec(r)?.effect === "once";

export const isChild = (r: Request): boolean =>
  r.what.type === "open" && "child" in r.what.spec.open;

export const isHandle = (r: Request): boolean => r.what.type === "open" && r.what.spec.handle;

const ACTING: ReadonlySet<Stage["at"]> = new Set(["running", "doubt", "verifying", "settling"]);

/** True if the effect of a `once` step may have happened. */
export const mayHaveActed = (r: Request): boolean => isOnce(r) && ACTING.has(r.stage.at);

/** Lets the code hear of it, once. */
export function wake(r: Request): void {
  const told = r.wake;
  r.wake = undefined;
  told?.();
}

/** One line for a person. */
export function describe(r: Request): string {
  return `${sortOfThing(r.what)} \`${r.key}\``;
}

function sortOfThing(what: What): string {
  if (what.type === "emit") return "published event";
  if (what.type === "open") return openName(what.spec.open);
  return what.spec.effect === "once" ? "once step" : "step";
}

export function openName(open: Open): string {
  if ("timer" in open) return "timer";
  if ("event" in open) return "event";
  return "child" in open ? "child" : "approval";
}
