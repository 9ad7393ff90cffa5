/**
 * `once` steps in doubt: nobody knows whether the effect happened. A verification settles it, or a
 * person does; it is never blindly repeated.
 */

import type { Answer, Open } from "../protocol/details.js";
import type { Failure, Settled } from "../protocol/frames.js";
import { parseJson, RawJson, writeJson } from "../protocol/json.js";
import { childKey } from "../protocol/key.js";
import { textOf } from "../protocol/value.js";
import { resolveValue } from "./blobs.js";
import { idempotencyKey } from "./derive.js";
import { backOff, begin, submitStep, tryAgain } from "./effect.js";
import { block } from "./ending.js";
import { type Intent, type Item, newSlot, SETTLED_BY_VERB, SETTLED_NOT_DONE } from "./journal.js";
import type { Machine } from "./machine.js";
import { type EffectOutcome, isOnce, type Request, type RequestId, spec } from "./request.js";
import { record, submit } from "./send.js";

/** The name of the question under the step's key. */
const QUESTION = "settle";

/**
 * On replay: an intent without an outcome. If a person is being asked already, their answer comes
 * in its place in the journal; otherwise the doubt is settled when the code is idle.
 */
export function lookUpQuestion(m: Machine, id: RequestId, request: Request): void {
  const used = m.journal.slots.get(request.key)?.settledUsed ?? 0;
  while (m.journal.slots.has(questionKey(request.key, request.settles + 1))) request.settles += 1;
  if (request.settles > used && !settledByVerb(m, request.key)) {
    const question = questionKey(request.key, request.settles);
    m.journal.asked(question, id);
    request.stage = { at: "settling", question };
  } else {
    m.fresh.push(id);
  }
}

const questionKey = (key: string, nth: number): string => childKey(key, QUESTION, nth);

/**
 * A doubt from an earlier assignment: that one, and each after it, may still be acting until its
 * lease and the step's time limit have ended, unless its process is known to be gone, or the
 * receiver keeps late comers out by itself.
 */
export function doubtRecorded(m: Machine, id: RequestId, intent: Intent, now: number): void {
  const request = m.requests.get(id);
  const isFenced = request ? (spec(request)?.isFenced ?? false) : false;
  const leaseEndMs = isFenced ? undefined : leaseEndSince(m, intent.assignment);
  doubt(m, id, leaseEndMs === undefined ? now : leaseEndMs + intent.timeoutMs, now);
}

/** When the last lease ends under which something of this assignment, or a later one, may act. */
function leaseEndSince(m: Machine, assignment: number): number | undefined {
  const { lost = [], previous } = m.start;
  if (lost.length === 0) {
    // A server that does not tell assignments apart speaks of all together.
    return previous && !previous.dead ? previous.lease_end_ms : undefined;
  }
  const since = lost.filter((one) => one.assignment >= assignment);
  return since.length === 0 ? undefined : Math.max(...since.map((one) => one.lease_end_ms));
}

/** The step is in doubt, and is to be settled at a time. */
export function doubt(m: Machine, id: RequestId, due: number, now: number): void {
  const request = m.requests.get(id);
  if (request) request.stage = { at: "doubt", due };
  if (due <= now && m.wire.mayStart) settleDoubt(m, id, now);
  else m.timers.add({ at: due, id });
}

export function settleDoubt(m: Machine, id: RequestId, now: number): void {
  const request = m.requests.get(id);
  if (!request) return;
  const settled = settledByVerb(m, request.key);
  if (settled) followVerb(m, id, request, settled, now);
  else if (spec(request)?.hasVerify) begin(m, id, "verify");
  else askPerson(m, id);
}

/** A person's word by `polos runs settle` that has not been followed yet. */
function settledByVerb(m: Machine, key: string): Settled | undefined {
  const used = m.journal.slots.get(key)?.verbsUsed ?? 0;
  return (m.start.settled ?? []).filter((settled) => settled.key === key)[used];
}

function followVerb(
  m: Machine,
  id: RequestId,
  request: Request,
  settled: Settled,
  now: number,
): void {
  if (settled.done) {
    const value = new RawJson(textOf(settled.done));
    submitStep(m, id, { value, settledBy: settled.by });
    return;
  }
  const slot = m.journal.slots.get(request.key);
  if (slot) slot.verbsUsed += 1;
  const message = `\`${settled.by}\` says that it was not done`;
  tryAgain(m, id, { code: SETTLED_BY_VERB, message }, undefined, now);
}

/** The world's answer. */
export function verified(m: Machine, id: RequestId, outcome: EffectOutcome, now: number): void {
  if (outcome.type === "value") return;
  if (outcome.type === "failed" || outcome.verdict.type === "unknown") askPerson(m, id);
  else if (outcome.verdict.type === "not_done") verifiedNotDone(m, id, now);
  else submitStep(m, id, { value: outcome.verdict.value, settledBy: "verify" });
}

/** It surely did not happen: it runs again, unless its own errors have used up its attempts. */
function verifiedNotDone(m: Machine, id: RequestId, now: number): void {
  const request = m.requests.get(id);
  if (!request) return;
  const { cause } = request;
  request.cause = undefined;
  const retry = spec(request)?.retry;
  if (!cause) {
    const failure: Failure = { code: "not_done", message: "`verify` found that it was not done" };
    tryAgain(m, id, failure, undefined, now);
  } else if (request.attempt >= (retry?.attempts ?? 1) || cause.terminal) {
    submitStep(m, id, { error: cause, settledBy: "verify" });
  } else {
    tryAgain(m, id, cause, undefined, now + (retry?.initialMs ?? 0));
  }
}

function askPerson(m: Machine, id: RequestId): void {
  const request = m.requests.get(id);
  if (!request) return;
  request.settles += 1;
  const question = questionKey(request.key, request.settles);
  request.stage = { at: "settling", question };
  const open: Open = {
    approval: {
      title: `did \`${request.key}\` go through?`,
      kind: "settle",
      subject: {
        step: request.key,
        idempotency_key: idempotencyKey(m.start.run, request.key, m.start.key_generation ?? 0),
        arguments: spec(request)?.args ?? null,
        error: request.cause ?? null,
      },
    },
  };
  const slot = newSlot(0, undefined, "settle");
  slot.request = id;
  m.journal.slots.set(question, slot);
  const asked = record("open", question, request.after);
  asked.detail = open;
  submit(m, asked, undefined);
}

/** The person's answer has its turn. */
export function settledByPerson(m: Machine, id: RequestId, item: Item, now: number): void {
  const value = item.value && resolveValue(m, item.value);
  const answer = value?.v === undefined ? undefined : (parseJson(textOf(value)) as Answer);
  if (typeof answer !== "object" || answer === null) {
    blockInDoubt(m, id, item.error);
  } else if (!answer.approved) {
    const message = `\`${answer.by}\` says that it was not done`;
    tryAgain(m, id, { code: SETTLED_NOT_DONE, message }, undefined, now);
  } else {
    const settled = new RawJson(writeJson(answer.value ?? null));
    submitStep(m, id, { value: settled, settledBy: answer.by });
  }
}

function blockInDoubt(m: Machine, id: RequestId, failure: Failure | undefined): void {
  const request = m.requests.get(id);
  if (!request) return;
  const { key } = request;
  block(m, {
    code: "step_in_doubt",
    message: `nobody has said whether once step \`${key}\` went through`,
    hint: `\`polos runs settle RUN '${key}' --done JSON\` or \`--not-done\``,
    step: key,
    ...(failure ? { failure } : {}),
  });
}

/**
 * Nothing was heard for the lease: effects are stopped and none begins until the connection stands
 * again. What may repeat then begins again; a `once` step is in doubt.
 */
export function leaseLost(m: Machine, now: number): void {
  m.wire.mayStart = false;
  for (const [id, request] of m.requests) {
    if (request.stage.at !== "running" && request.stage.at !== "verifying") continue;
    m.stopEffect(request);
    if (isOnce(request)) doubt(m, id, 0, now);
    else backOff(m, id, 0);
  }
}
