/** Effects: beginning them, taking their reports, trying again. */

import type { AttemptDetail, IntentDetail, StepDetail } from "../protocol/details.js";
import type { Failure } from "../protocol/frames.js";
import type { RawJson } from "../protocol/json.js";
import { ATTEMPTS_JOURNALED } from "../protocol/limits.js";
import { fitsInline, submitChild, submitValued } from "./blobs.js";
import { chance, idempotencyKey, unit } from "./derive.js";
import { admitInsertions } from "./diverge.js";
import { doubt, doubtRecorded, settleDoubt, verified } from "./doubt.js";
import type { Machine } from "./machine.js";
import { rest } from "./park.js";
import {
  type EffectId,
  type EffectKind,
  type EffectReport,
  type Fault,
  isOnce,
  type OpenSpec,
  type Request,
  type RequestId,
  spec as specOf,
} from "./request.js";
import { delayMs } from "./retry.js";
import { record, submit } from "./send.js";

/**
 * The code is idle and nothing is there to be handed: begins what it asked for, then says what it
 * waits for.
 */
export function settle(m: Machine, now: number): void {
  if (!m.isRunning) return;
  if (m.fresh.length > 0 && isCaughtUp(m) && !m.draining) {
    const fresh = m.fresh;
    m.fresh = [];
    if (!admitInsertions(m, fresh)) return;
    for (const id of fresh) setGoing(m, id, now);
  }
  rest(m, now);
}

/** True if all outcomes that the journal holds for the code have been handed to it. */
export function isCaughtUp(m: Machine): boolean {
  return m.journal.queue.isEmpty && m.journal.ready.length === 0;
}

function setGoing(m: Machine, id: RequestId, now: number): void {
  const request = m.requests.get(id);
  if (!request || request.outcome || request.stage.at !== "fresh") return;
  const { what } = request;
  if (what.type === "step") {
    setStepGoing(m, id, request, now);
  } else if (what.type === "open") {
    submitOpen(m, id, request, what.spec);
  } else {
    const emit = record("emit", request.key, request.after);
    emit.detail = what.detail;
    emit.requested_ms = request.requestedMs;
    request.stage = { at: "sent" };
    submitValued(m, emit, id, what.payload);
  }
}

function setStepGoing(m: Machine, id: RequestId, request: Request, now: number): void {
  const slot = m.journal.slots.get(request.key);
  if (slot?.intent) {
    doubtRecorded(m, id, slot.intent, now);
    return;
  }
  const due = slot?.nextMs ?? 0;
  if (due > now) backOff(m, id, due);
  else if (isOnce(request)) submitIntent(m, id);
  else begin(m, id, "attempt");
}

function submitOpen(m: Machine, id: RequestId, request: Request, spec: OpenSpec): void {
  const open = record("open", request.key, request.after);
  open.detail = spec.open;
  open.requested_ms = request.requestedMs;
  if (spec.fingerprint !== undefined) open.fingerprint = spec.fingerprint;
  request.stage = { at: "sent" };
  if ("child" in spec.open && !fitsInline(spec.open.child.input)) {
    submitChild(m, open, id, spec.open.child);
  } else {
    submit(m, open, id);
  }
}

function submitIntent(m: Machine, id: RequestId): void {
  const request = m.requests.get(id);
  const spec = request && specOf(request);
  if (!spec) return;
  request.stage = { at: "gate", due: 0 };
  const detail: IntentDetail = {
    timeout_ms: spec.timeoutMs,
    idempotency_key: idempotencyKey(m.start.run, request.key, m.start.key_generation ?? 0),
    has_verify: spec.hasVerify,
    ...(spec.label === undefined ? {} : { label: spec.label }),
  };
  const intent = record("intent", request.key, request.after);
  intent.detail = detail;
  intent.attempt = request.attempt;
  intent.requested_ms = request.requestedMs;
  if (spec.fingerprint !== undefined) intent.fingerprint = spec.fingerprint;
  submit(m, intent, id);
}

/** An intent or an attempt is durable: what waited for it goes on. */
export function openGate(m: Machine, id: RequestId | undefined, now: number): void {
  const request = id === undefined ? undefined : m.requests.get(id);
  if (id === undefined || request?.stage.at !== "gate") return;
  const { due } = request.stage;
  request.intended = true;
  if (due > now) backOff(m, id, due);
  else begin(m, id, "attempt");
}

/** Begins an effect, unless the lease has ended unheard: then it begins after re-attachment. */
export function begin(m: Machine, id: RequestId, kind: EffectKind): void {
  if (!m.wire.mayStart) {
    backOff(m, id, 0);
    return;
  }
  const request = m.requests.get(id);
  const spec = request && specOf(request);
  if (!spec) return;
  const effect = m.nextEffect++;
  request.stage = { at: kind === "attempt" ? "running" : "verifying", effect };
  m.waiting = undefined;
  const { timeoutMs } = spec;
  if (timeoutMs > m.settings.stepTimeoutMs) {
    m.frame({ type: "busy", body: { ...m.runRef(), for_ms: timeoutMs } });
  }
  const { key, attempt } = request;
  m.out.push({ type: "begin", begin: { effect, request: id, key, kind, attempt, timeoutMs } });
}

/** How an effect ended. */
export function report(
  m: Machine,
  id: RequestId,
  effect: EffectId,
  report: EffectReport,
  now: number,
): void {
  const request = m.isRunning ? m.requests.get(id) : undefined;
  if (!request) return;
  const { stage } = request;
  const { outcome } = report;
  if (stage.at === "verifying" && stage.effect === effect) {
    verified(m, id, outcome, now);
  } else if (stage.at === "running" && stage.effect === effect) {
    if (outcome.type === "value") submitStep(m, id, { value: outcome.value, report });
    else if (outcome.type === "failed") attemptFailed(m, id, outcome.fault, report, now);
  }
}

function attemptFailed(
  m: Machine,
  id: RequestId,
  fault: Fault,
  report: EffectReport,
  now: number,
): void {
  const request = m.requests.get(id);
  const spec = request && specOf(request);
  if (!spec) return;
  if (isOnce(request) && !fault.notDone) {
    request.cause = fault.failure;
    doubt(m, id, now, now);
    return;
  }
  const { retry } = spec;
  const again =
    fault.retryable &&
    !fault.failure.terminal &&
    request.attempt < retry.attempts &&
    !retry.notOn.includes(fault.failure.code);
  if (!again) {
    submitStep(m, id, { error: fault.failure, report });
    return;
  }
  const drawn = unit(chance(m.start.seed, request.key, "jitter", request.attempt));
  const wait = delayMs(retry, request.attempt, drawn, fault.retryAfterMs);
  tryAgain(m, id, fault.failure, report, now + wait);
}

/** Journals a failed attempt and waits for the next one. */
export function tryAgain(
  m: Machine,
  id: RequestId,
  failure: Failure,
  report: EffectReport | undefined,
  due: number,
): void {
  const request = m.requests.get(id);
  if (!request) return;
  const { attempt } = request;
  const detail: AttemptDetail = { attempt, next_ms: due };
  request.attempt += 1;
  const once = isOnce(request);
  const wait = due - (report?.endedMs ?? due);
  // A wait that parks must be found again; and what must not be repeated blindly goes on only
  // when the reason for another attempt is durable.
  if (attempt > ATTEMPTS_JOURNALED && !once && wait <= m.settings.hotMs) {
    if (request.unjournaled.length >= ATTEMPTS_JOURNALED) request.unjournaled.shift();
    request.unjournaled.push({ ...detail, message: failure.message });
    backOff(m, id, due);
    return;
  }
  const failed = record("attempt", request.key, request.after);
  failed.detail = detail;
  failed.attempt = attempt;
  failed.error = failure;
  if (report) failed.started_ms = report.startedMs;
  if (report) failed.ended_ms = report.endedMs;
  if (once) {
    request.stage = { at: "gate", due };
    submit(m, failed, id);
  } else {
    submit(m, failed, undefined);
    backOff(m, id, due);
  }
}

export function backOff(m: Machine, id: RequestId, due: number): void {
  const request = m.requests.get(id);
  if (!request) return;
  request.stage = { at: "backoff", due };
  m.timers.add({ at: due, id });
}

/** How a step ended. */
export interface Ended {
  value?: RawJson | undefined;
  error?: Failure;
  report?: EffectReport;
  settledBy?: string;
}

/** Sends the outcome of a step to the journal. */
export function submitStep(m: Machine, id: RequestId, ended: Ended): void {
  const request = m.requests.get(id);
  const spec = request && specOf(request);
  if (!spec) return;
  request.stage = { at: "sent" };
  const step = record("step", request.key, request.after);
  if (request.attempt > 1) step.attempt = request.attempt;
  if (ended.error) step.error = ended.error;
  step.requested_ms = request.requestedMs;
  if (ended.report) step.started_ms = ended.report.startedMs;
  if (ended.report) step.ended_ms = ended.report.endedMs;
  if (spec.fingerprint !== undefined) step.fingerprint = spec.fingerprint;
  const detail = stepDetail(request, ended);
  if (Object.keys(detail).length > 0) step.detail = detail;
  if (ended.value) submitValued(m, step, id, { v: ended.value });
  else submit(m, step, id);
}

function stepDetail(request: Request, { report, settledBy }: Ended): StepDetail {
  const spec = specOf(request);
  const detail: StepDetail = {};
  if (spec?.label !== undefined) detail.label = spec.label;
  if (spec?.effect === "once") detail.effect = "once";
  if (request.inserted) detail.inserted = true;
  if (settledBy !== undefined) detail.settled_by = settledBy;
  if (request.unjournaled.length > 0) detail.last_attempts = request.unjournaled;
  if (report?.costMicros !== undefined) detail.cost_micros = report.costMicros;
  if (report?.tokens) detail.tokens = report.tokens;
  return detail;
}

/** Times have come: backoffs end, doubts are settled. */
export function wakeTimed(m: Machine, now: number): void {
  for (;;) {
    const first = m.wire.mayStart ? m.timers.first() : undefined;
    if (!first || first.at > now) return;
    m.timers.pop();
    const stage = m.requests.get(first.id)?.stage;
    if (stage?.at === "backoff" && stage.due === first.at) resumeBackoff(m, first.id);
    if (stage?.at === "doubt" && stage.due === first.at) settleDoubt(m, first.id, now);
  }
}

function resumeBackoff(m: Machine, id: RequestId): void {
  const request = m.requests.get(id);
  if (!request) return;
  if (isOnce(request) && !request.intended) submitIntent(m, id);
  else begin(m, id, "attempt");
}
