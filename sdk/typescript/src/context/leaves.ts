/** Steps, waits and questions, as what the machine is asked for. */

import { type Duration, toMs } from "../duration.js";
import { Rejected, TerminalError } from "../errors.js";
import type { Answer, EventValue, Open } from "../protocol/details.js";
import type { RawJson } from "../protocol/json.js";
import { STEP_TIMEOUT_MS, VALUE_INLINE_BYTES_MAX } from "../protocol/limits.js";
import { decode, encode, fromValue } from "../protocol/value.js";
import { fingerprint } from "../replay/derive.js";
import type { Outcome, What } from "../replay/request.js";
import { retryPolicy } from "../replay/retry.js";
import type { ScopeId } from "../replay/scope.js";
import type { StepContext, StepOptions, Verdict } from "../step.js";
import type { Effect, Execution } from "./execution.js";
import { errorOf } from "./failure.js";
import { Pending } from "./pending.js";

/** One request and how its outcome becomes a value. */
export interface Leaf<T> {
  name: string;
  was?: string | undefined;
  /** Made when it is begun: times count from then. */
  what: () => What;
  effect?: Effect;
  read: (outcome: Outcome & { type: "value" }, key: string) => T;
}

export function pendingLeaf<T>(execution: Execution, scope: ScopeId, leaf: Leaf<T>): Pending<T> {
  let key: string | undefined;
  const begin = async (inScope: ScopeId, isItem: boolean): Promise<T> => {
    const { name, was } = leaf;
    const ask = { scope: inScope, name, was, direct: isItem, what: leaf.what() };
    const id = execution.ask(ask, leaf.effect);
    key = execution.keyOf(id);
    const outcome = await execution.outcome(id);
    if (outcome.type !== "value") throw errorOf(outcome, key);
    return leaf.read(outcome, key);
  };
  return new Pending(execution, { label: leaf.name, scope, begin, key: () => key });
}

/** What was recorded, as the code had it. */
export const readValue = (outcome: Outcome & { type: "value" }): unknown =>
  fromValue(outcome.value);

export function stepLeaf<T, I>(
  name: string,
  run: (step: StepContext) => T | PromiseLike<T>,
  options: StepOptions<T, I>,
): Leaf<T> {
  const args = options.input === undefined ? undefined : encode(options.input);
  const { verify } = options;
  const effect: Effect = {
    input: options.input,
    attempt: run,
    ...(verify
      ? { verify: (step: StepContext) => verify(options.input as I, step.idempotencyKey, step) }
      : {}),
  };
  const what = stepWhat(options, args);
  return {
    name,
    was: options.was,
    what: () => what,
    effect,
    read: (outcome) => readValue(outcome) as T,
  };
}

function stepWhat<T, I>(options: StepOptions<T, I>, args: RawJson | undefined): What {
  const { retry, timeout } = options;
  return {
    type: "step",
    spec: {
      effect: options.effect ?? "repeatable",
      label: options.label,
      retry: retryPolicy(retry === false ? { attempts: 1 } : retry),
      timeoutMs: timeout === undefined ? STEP_TIMEOUT_MS : toMs(timeout),
      fingerprint: args && fingerprint(args),
      onMismatch: options.onMismatch ?? "block",
      hasVerify: options.verify !== undefined,
      isFenced: options.fenced ?? false,
      args,
    },
  };
}

/** What a verification answered, checked: it comes from the user's code. */
export function isVerdict(answer: unknown): answer is Verdict<unknown> {
  const verdict = (answer as { verdict?: unknown } | undefined)?.verdict;
  return verdict === "done" || verdict === "not_done" || verdict === "unknown";
}

export function openWhat(open: Open): What {
  return { type: "open", spec: { open, handle: false, onMismatch: "block" } };
}

/** What an event carries. It stands on its own: values kept apart are not at hand for its takers. */
export function carried(payload: unknown): { v: RawJson } {
  const v = encode(payload === undefined ? null : payload);
  const bytes = Buffer.byteLength(v.text);
  if (bytes <= VALUE_INLINE_BYTES_MAX) return { v };
  throw new TerminalError(
    `an event carries at most ${VALUE_INLINE_BYTES_MAX} bytes, not ${bytes}; ` +
      "keep the value elsewhere and publish where",
    { code: "value_too_large" },
  );
}

/** The time at which a wait gives up. */
export function deadline(
  execution: Execution,
  timeout: Duration | undefined,
): { deadline_ms?: number } {
  return timeout === undefined ? {} : { deadline_ms: execution.now() + toMs(timeout) };
}

/** An event as it came. */
export function readEvent(outcome: Outcome & { type: "value" }): EventValue {
  return fromValue(outcome.value) as EventValue;
}

/** The answer of a person, as it was given. */
export function readAnswer(outcome: Outcome & { type: "value" }): Answer {
  const answer = fromValue(outcome.value) as Answer;
  return "value" in answer ? { ...answer, value: decode(answer.value) } : answer;
}

/** The filled form of an answer; a no is thrown. */
export function filledForm(answer: Answer, key: string): unknown {
  if (!answer.approved) throw new Rejected(answer.by, answer.feedback, key);
  return answer.value;
}
