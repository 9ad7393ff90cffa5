/** The code asks: keys are made, the journal is looked up, changed code is noticed. */

import { KEY_BYTES_MAX } from "../protocol/limits.js";
import { refuseAfterCancel } from "./cancel.js";
import { blockAmbiguous, blockOtherSort, mismatched } from "./diverge.js";
import { lookUpQuestion } from "./doubt.js";
import { blockMisuse } from "./ending.js";
import { describeSlot, type Sort, sortOfOpen } from "./journal.js";
import type { Machine } from "./machine.js";
import type { Ask, FingerprintPolicy, Outcome, Request, RequestId, What } from "./request.js";
import { wake } from "./request.js";

/** Takes a request of the code. */
export function askMachine(m: Machine, ask: Ask, now: number): RequestId {
  const id = m.nextRequest++;
  const taken = m.scopes.take(ask.scope, ask.name);
  const key = renamed(m, ask, taken.key);
  if (taken.ambiguous) blockAmbiguous(m, ask, key);
  if (Buffer.byteLength(key) > KEY_BYTES_MAX) {
    blockMisuse(m, `a step's key is longer than ${KEY_BYTES_MAX} bytes`, "give it a shorter name");
  }
  const request = newRequest(m, ask, key, now);
  const refused = refuseAfterCancel(m, ask.scope);
  if (refused) {
    request.outcome = { type: "cancelled", failure: refused };
    request.stage = { at: "done" };
    m.scopes.release(request.scope, request.name);
  } else {
    lookUp(m, id, request);
  }
  m.requests.set(id, request);
  return id;
}

function newRequest(m: Machine, ask: Ask, key: string, now: number): Request {
  return {
    key,
    scope: ask.scope,
    name: ask.name,
    direct: ask.direct,
    awaitedIn: ask.scope,
    what: ask.what,
    stage: { at: "fresh" },
    inserted: false,
    after: m.handed,
    requestedMs: now,
    attempt: 1,
    unjournaled: [],
    cause: undefined,
    intended: false,
    settles: 0,
    opened: false,
    outcome: undefined,
    wake: undefined,
  };
}

/** Hands the outcome of a request to the code, once. */
export function takeOutcome(m: Machine, id: RequestId): Outcome | undefined {
  const outcome = m.requests.get(id)?.outcome;
  if (outcome) m.requests.delete(id);
  return outcome;
}

/** Calls `told` when the request has an outcome; at once if it has. */
export function awaitOutcome(m: Machine, id: RequestId, told: () => void): void {
  const request = m.requests.get(id);
  if (!request) return;
  request.wake = told;
  if (request.outcome) wake(request);
}

/** Calls `told` when the opening of a handle has been handed to the code; at once if it was. */
export function awaitOpened(m: Machine, id: RequestId, told: () => void): void {
  const request = m.requests.get(id);
  if (!request) return;
  request.wake = told;
  if (request.outcome || request.opened) wake(request);
}

/** A step under a new name takes what is recorded under its old one. */
function renamed(m: Machine, ask: Ask, key: string): string {
  if (ask.was === undefined) return key;
  const old = m.scopes.takeSilently(ask.scope, ask.was);
  const slot = m.journal.slots.get(old);
  const isFree = slot !== undefined && slot.request === undefined;
  return !m.journal.slots.has(key) && isFree ? old : key;
}

function lookUp(m: Machine, id: RequestId, request: Request): void {
  const slot = m.journal.slots.get(request.key);
  if (!slot) {
    m.fresh.push(id);
    return;
  }
  const wanted = sortOf(request.what);
  if (slot.sort !== wanted) {
    blockOtherSort(m, request, describeSlot(slot, request.key));
    return;
  }
  const asked = fingerprintOf(request.what);
  if (slot.fingerprint !== undefined && asked && slot.fingerprint !== asked.print) {
    mismatched(m, request, asked.policy, [slot.fingerprint, asked.print]);
  }
  request.inserted = slot.inserted;
  request.attempt = slot.attempts + 1;
  if (slot.hasOutcome) {
    request.stage = { at: "recorded" };
  } else if (wanted !== "step") {
    request.stage = { at: "opened" };
  } else if (slot.intent) {
    request.intended = true;
    lookUpQuestion(m, id, request);
  } else {
    m.fresh.push(id);
  }
  m.journal.asked(request.key, id);
}

function sortOf(what: What): Sort {
  if (what.type === "open") return sortOfOpen(what.spec.open);
  return what.type === "emit" ? "emit" : "step";
}

function fingerprintOf(what: What): { print: string; policy: FingerprintPolicy } | undefined {
  if (what.type === "emit" || what.spec.fingerprint === undefined) return undefined;
  return { print: what.spec.fingerprint, policy: what.spec.onMismatch };
}
