/**
 * Waiting: when nothing runs here, the server is told what the run waits for, and after a while
 * asked to park it.
 */

import type { Wait } from "../protocol/frames.js";
import { admitOrphans } from "./diverge.js";
import { isCaughtUp } from "./effect.js";
import type { Machine } from "./machine.js";
import type { Request, Stage } from "./request.js";
import { ROOT, type ScopeId } from "./scope.js";

/** What the run waits for, and how much of it was said on the present connection. */
export interface Waiting {
  wait: Wait;
  parkMs: number;
  said: "nothing" | "wait" | "park";
}

/** Nothing is to be done for the code: says so, if nothing runs either. */
export function rest(m: Machine, now: number): void {
  if (m.draining && !hasEffects(m) && m.wire.isQuiet && !isQuiet(m, now)) {
    m.giveBack();
    return;
  }
  const isSaid = m.waiting !== undefined && m.waiting.said !== "nothing";
  if (isSaid || !isQuiet(m, now) || !admitOrphans(m)) return;
  // A warning about an orphan may have gone out just now.
  if (!m.wire.isQuiet) return;
  const wait = waitTree(m);
  if (!wait) return;
  m.frame({ type: "wait", body: { ...m.runRef(), seq: m.have, n: m.wire.n, wait } });
  const hotMs = m.draining ? 0 : m.settings.hotMs;
  m.waiting = { wait, parkMs: now + hotMs, said: "wait" };
  parkWhenCold(m, now);
}

function isQuiet(m: Machine, now: number): boolean {
  if (!isCaughtUp(m) || m.fresh.length > 0 || !m.wire.isQuiet || m.blobs.isBusy) return false;
  const hotUntil = now + m.settings.hotMs;
  for (const { stage } of m.requests.values()) if (!isAtRest(stage, hotUntil)) return false;
  return true;
}

function isAtRest(stage: Stage, hotUntil: number): boolean {
  switch (stage.at) {
    case "opened":
    case "settling":
    case "done":
      return true;
    case "backoff":
    case "doubt":
      return stage.due > hotUntil;
    default:
      return false;
  }
}

export function hasEffects(m: Machine): boolean {
  for (const { stage } of m.requests.values()) {
    if (stage.at === "running" || stage.at === "verifying") return true;
  }
  return false;
}

export function parkWhenCold(m: Machine, now: number): void {
  const { waiting } = m;
  if (waiting?.said !== "wait" || waiting.parkMs > now) return;
  waiting.said = "park";
  const at = { ...m.runRef(), seq: m.have, n: m.wire.n };
  m.frame({ type: "park", body: { ...at, wait: waiting.wait } });
}

/** A part of the tree; silent if it is a single outcome with no code of its own behind it. */
interface Part {
  wait: Wait;
  silent: boolean;
}

/** What would let the code go on, as a tree along the code's own branches. */
export function waitTree(m: Machine): Wait | undefined {
  const leaves = new Map<ScopeId, Part[]>();
  const inner = new Map<ScopeId, Set<ScopeId>>();
  for (const request of m.requests.values()) {
    const wait = leaf(request);
    if (!wait) continue;
    append(leaves, request.awaitedIn, { wait, silent: request.direct });
    noteParents(m, request.awaitedIn, inner);
  }
  return subtree(m, ROOT, leaves, inner)?.wait;
}

function append(leaves: Map<ScopeId, Part[]>, scope: ScopeId, part: Part): void {
  const parts = leaves.get(scope);
  if (parts) parts.push(part);
  else leaves.set(scope, [part]);
}

function noteParents(m: Machine, from: ScopeId, inner: Map<ScopeId, Set<ScopeId>>): void {
  let scope = from;
  for (;;) {
    const parent = m.scopes.get(scope)?.parent;
    if (parent === undefined) return;
    const children = inner.get(parent) ?? new Set();
    if (children.has(scope)) return;
    inner.set(parent, children.add(scope));
    scope = parent;
  }
}

function subtree(
  m: Machine,
  scope: ScopeId,
  leaves: Map<ScopeId, Part[]>,
  inner: Map<ScopeId, Set<ScopeId>>,
): Part | undefined {
  let parts = leaves.get(scope) ?? [];
  const children = [...(inner.get(scope) ?? [])].sort((a, b) => a - b);
  for (const child of children) {
    const part = subtree(m, child, leaves, inner);
    if (part) parts.push(part);
  }
  const kind = m.scopes.get(scope)?.kind ?? "sequence";
  if (kind === "all") {
    if (parts.every((part) => part.silent)) {
      return join(parts, (waits) => ({ all: waits }));
    }
    parts = parts.filter((part) => !part.silent);
  }
  if (parts.length === 1 && kind === "sequence") return parts[0];
  return join(parts, (waits) => ({ first: waits }));
}

function join(parts: Part[], many: (waits: Wait[]) => Wait): Part | undefined {
  const [first, ...others] = parts.map((part) => part.wait);
  if (!first) return undefined;
  return { wait: others.length === 0 ? first : many([first, ...others]), silent: false };
}

function leaf(request: Request): Wait | undefined {
  const { stage } = request;
  switch (stage.at) {
    case "opened":
      // A handle that the code does not await lets nothing go on.
      return request.wake ? { key: request.key } : undefined;
    case "settling":
      return { key: stage.question };
    case "backoff":
    case "doubt":
      return { until: stage.due };
    default:
      return undefined;
  }
}
