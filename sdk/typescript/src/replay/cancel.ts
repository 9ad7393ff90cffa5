/** Cancellation: an entry at a place in the journal, raised at the awaits that stand open there. */

import type { Failure } from "../protocol/frames.js";
import { fail } from "./ending.js";
import { advance, submitLost } from "./hand.js";
import type { Item } from "./journal.js";
import type { Machine } from "./machine.js";
import { mayHaveActed, type Request, wake } from "./request.js";
import type { ScopeId } from "./scope.js";

/** The run is being cancelled. */
export interface Cancel {
  failure: Failure;
  /** When cleanup must have ended. */
  deadlineMs: number;
}

/** True if the code has something to do now. */
export function raiseCancel(m: Machine, item: Item, now: number): boolean {
  if (m.cancel) return false;
  const failure = item.error ?? { code: "cancelled", message: "the run was cancelled" };
  m.cancel = { failure, deadlineMs: Math.max(now, item.at) + m.settings.cleanupMs };
  const open = [...m.requests.values()].filter((r) => !r.outcome && !isShielded(m, r.scope));
  for (const request of open) cancelRequest(m, request, failure);
  advance(m, item.seq, item.at, false);
  return true;
}

function cancelRequest(m: Machine, request: Request, failure: Failure): void {
  m.stopEffect(request);
  const slot = m.journal.slots.get(request.key);
  if (slot) slot.lost = true;
  if (mayHaveActed(request) && !m.journal.lost.has(request.key)) submitLost(m, request);
  m.scopes.release(request.scope, request.name);
  request.outcome = { type: "cancelled", failure };
  request.stage = { at: "done" };
  wake(request);
}

function isShielded(m: Machine, scope: ScopeId): boolean {
  return m.scopes.get(scope)?.shielded ?? false;
}

/** After the cancellation only cleanup may ask for anything. */
export function refuseAfterCancel(m: Machine, scope: ScopeId): Failure | undefined {
  return m.cancel && !isShielded(m, scope) ? m.cancel.failure : undefined;
}

/** Cleanup has had its time. */
export function endCleanup(m: Machine, now: number): void {
  if (m.cancel && m.cancel.deadlineMs <= now) {
    fail(m, { ...m.cancel.failure, code: "cancelled" }, undefined);
  }
}
