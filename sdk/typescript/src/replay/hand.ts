/** Handing outcomes to the code: in the journal's order, one at a time. */

import type { StepKey } from "../protocol/frames.js";
import { forgetValue, prefetch, resolveValue } from "./blobs.js";
import { raiseCancel } from "./cancel.js";
import { blockUnasked, isAccepted, isOwn } from "./diverge.js";
import { settledByPerson } from "./doubt.js";
import type { Item } from "./journal.js";
import type { Machine } from "./machine.js";
import { isHandle, mayHaveActed, type Request, type RequestId, wake } from "./request.js";
import type { ScopeId } from "./scope.js";
import { record, submit } from "./send.js";

/** Whose turn it is: nobody's any more, a request's, the machine's own question, or too early. */
type Turn =
  | { of: "nobody" }
  | { of: "request"; request: Request }
  | { of: "question"; id: RequestId }
  | { of: "unasked" };

const NOBODY: Turn = { of: "nobody" };

/**
 * Hands the next outcome to its request, when the code is idle. `false` means that nothing is there
 * to be handed: the code stays idle, and what it asked for is begun.
 */
export function handNext(m: Machine, now: number): boolean {
  while (m.isRunning) {
    const item = nextItem(m);
    if (!item) return false;
    if (hand(m, item, now)) return true;
  }
  return false;
}

/** Takes the item whose turn it is, if its value is here. */
function nextItem(m: Machine): Item | undefined {
  const { journal } = m;
  for (;;) {
    const [seq] = journal.ready;
    if (seq === undefined) break;
    const item = journal.held.get(seq);
    if (item && !hasValue(m, item)) return undefined;
    journal.ready.shift();
    journal.held.delete(seq);
    if (item) return item;
  }
  const front = journal.queue.front();
  if (!front) return undefined;
  if (front.value?.ref) prefetch(m);
  return hasValue(m, front) ? journal.queue.shift() : undefined;
}

function hasValue(m: Machine, item: Item): boolean {
  return item.value === undefined || resolveValue(m, item.value) !== undefined;
}

/** True if the code has something to do now. */
function hand(m: Machine, item: Item, now: number): boolean {
  if (item.kind === "cancel") return raiseCancel(m, item, now);
  const turn = turnOf(m, item);
  switch (turn.of) {
    case "nobody":
      return false;
    case "request":
      return handTo(m, turn.request, item);
    case "question":
      settledByPerson(m, turn.id, item, now);
      return false;
    case "unasked":
      setAside(m, item);
      return false;
  }
}

function turnOf(m: Machine, item: Item): Turn {
  if (item.request !== undefined) return requestTurn(m, item.request);
  const slot = m.journal.slots.get(item.key);
  if (!slot || slot.lost) return NOBODY;
  const id = slot.request;
  if (id === undefined) return { of: "unasked" };
  if (slot.sort !== "settle") return requestTurn(m, id);
  // That the question was asked is nobody's news; its answer is.
  if (item.kind === "open") return NOBODY;
  const stage = m.requests.get(id)?.stage;
  const waits = stage?.at === "settling" && stage.question === item.key;
  return waits ? { of: "question", id } : NOBODY;
}

function requestTurn(m: Machine, id: RequestId): Turn {
  const request = m.requests.get(id);
  return request && !request.outcome ? { of: "request", request } : NOBODY;
}

function handTo(m: Machine, request: Request, item: Item): boolean {
  const value = item.value && resolveValue(m, item.value);
  if (item.kind === "open") {
    if (!isHandle(request)) return false;
    request.opened = true;
    if (isDetached(request)) request.outcome = { type: "value", value: { v: null } };
  } else if (item.error) {
    request.outcome = { type: "failed", failure: item.error };
  } else {
    request.outcome = { type: "value", value };
  }
  m.scopes.release(request.scope, request.name);
  if (request.outcome) {
    request.stage = { at: "done" };
    m.journal.slots.delete(item.key);
  }
  forgetValue(m, item.value);
  advance(m, item.seq, item.at, item.inserted);
  wake(request);
  return true;
}

function isDetached(request: Request): boolean {
  const { what } = request;
  return what.type === "open" && "child" in what.spec.open && !!what.spec.open.child.detached;
}

/** The code's place and time move on; what a newer build inserted does not move its time. */
export function advance(m: Machine, seq: number, at: number, inserted: boolean): void {
  m.handed = Math.max(m.handed, seq);
  if (!inserted) m.codeMs = Math.max(m.codeMs, at);
}

/** Takes back all that the code of a scope awaits: it lost a race. */
export function loseScope(m: Machine, scope: ScopeId): void {
  for (const [id, request] of [...m.requests]) {
    const isLeft = isHandle(request) && request.opened && !request.wake;
    if (!isLeft && m.scopes.isWithin(request.awaitedIn, scope)) lose(m, id, request);
  }
}

/** Takes back a request: its outcome interests nobody. */
function lose(m: Machine, id: RequestId, request: Request): void {
  m.requests.delete(id);
  m.stopEffect(request);
  m.scopes.release(request.scope, request.name);
  if (request.outcome || !m.isRunning) return;
  const neverSent = request.stage.at === "fresh" && request.what.type !== "step";
  const slot = m.journal.slots.get(request.key);
  if (slot) {
    slot.lost = true;
    slot.request = undefined;
  }
  if (!neverSent && !m.journal.lost.has(request.key)) submitLost(m, request);
}

export function submitLost(m: Machine, request: Request): void {
  const lost = record("lost", request.key, m.handed);
  if (mayHaveActed(request)) {
    lost.detail = { in_doubt: true };
    lost.error = {
      code: "step_in_doubt",
      message: `once step \`${request.key}\` was given up while it may have been acting`,
    };
  }
  submit(m, lost, undefined);
  if (request.stage.at === "settling") withdraw(m, request.stage.question);
}

/** The machine's question to a person needs no answer any more. */
function withdraw(m: Machine, question: StepKey): void {
  submit(m, record("lost", question, m.handed), undefined);
}

/**
 * An outcome that the code has not asked for, though it is idle: with the build that wrote it that
 * cannot be, with another it is kept until the code asks.
 */
function setAside(m: Machine, item: Item): void {
  const isQuestion = m.journal.slots.get(item.key)?.sort === "settle";
  const own = isOwn(m, item.key) && !isAccepted(m, item.key) && !isQuestion;
  if (own) blockUnasked(m);
  else m.journal.hold(item);
}
