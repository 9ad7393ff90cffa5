/** What the code declares: patches, removals, cleanup. */

import { dropRemoved, submitMarker } from "./diverge.js";
import type { Machine } from "./machine.js";
import type { ScopeId } from "./scope.js";

/**
 * True if this call was true before, or if nothing recorded lies ahead of the code: then it is
 * marked. A call that was false stays false, since each call has its own place.
 */
export function patched(m: Machine, scope: ScopeId, id: string): boolean {
  const key = m.scopes.takeSilently(scope, `patched ${id}`);
  if (m.journal.patched.has(key)) return true;
  if (m.isReplaying || m.journal.unasked.size > 0 || !m.isRunning) return false;
  m.journal.patched.add(key);
  submitMarker(m, key, { patched: id });
  return true;
}

/** Declares that recorded steps of this name in this scope are not asked for any more. */
export function removed(m: Machine, scope: ScopeId, name: string): void {
  const key = m.scopes.get(scope)?.key ?? "";
  if (dropRemoved(m, key, name)) submitMarker(m, key, { removed: name });
}

/** A scope in which steps run even though the run is being cancelled. */
export function openCleanup(m: Machine, parent: ScopeId): ScopeId {
  const id = m.scopes.open(parent, "cleanup", "sequence");
  const scope = m.scopes.get(id);
  if (scope) scope.shielded = true;
  const note = `cleanup ${scope?.key ?? ""}`;
  if (m.cancel && !m.journal.noted.has(note)) {
    m.journal.noted.add(note);
    submitMarker(m, scope?.key ?? "", "cleanup");
  }
  return id;
}
