/** Scopes: the branches of the code, each with counters of its own. */

import { childKey } from "../protocol/key.js";
import { chance, unit, uuid } from "./derive.js";

/** A scope of one run, in this process. */
export type ScopeId = number;

/** The run's own scope. */
export const ROOT: ScopeId = 0;

/** Code that runs in order; branches that must all end; branches of which the first decides. */
export type ScopeKind = "sequence" | "all" | "first";

export interface Scope {
  key: string;
  kind: ScopeKind;
  parent: ScopeId | undefined;
  /** True inside a cleanup: cancellation is not raised here. */
  shielded: boolean;
  names: Map<string, { used: number; open: boolean }>;
  uuids: number;
  randoms: number;
}

/** All scopes of a run that still have code in them. */
export class Scopes {
  private readonly scopes = new Map<ScopeId, Scope>([[ROOT, scopeOf("", "sequence", undefined)]]);
  private next = 1;

  /** A scope under `parent`: its name is counted like a step's. */
  open(parent: ScopeId, name: string, kind: ScopeKind): ScopeId {
    const key = this.takeSilently(parent, name);
    const id = this.next++;
    const scope = scopeOf(key, kind, parent);
    scope.shielded = this.get(parent)?.shielded ?? false;
    this.scopes.set(id, scope);
    return id;
  }

  get(id: ScopeId): Scope | undefined {
    return this.scopes.get(id);
  }

  close(id: ScopeId): void {
    if (id !== ROOT) this.scopes.delete(id);
  }

  /** True if `id` is `outer` or lies under it. */
  isWithin(id: ScopeId, outer: ScopeId): boolean {
    let at: ScopeId | undefined = id;
    while (at !== undefined && at !== outer) at = this.scopes.get(at)?.parent;
    return at === outer;
  }

  /** Takes the next key of `name`, and says if one of that name is still open. */
  take(id: ScopeId, name: string): { key: string; ambiguous: boolean } {
    const scope = this.scopes.get(id);
    if (!scope) return { key: childKey("", name, 1), ambiguous: false };
    const counted = count(scope, name);
    const ambiguous = counted.open;
    counted.open = true;
    return { key: childKey(scope.key, name, counted.used), ambiguous };
  }

  /** The key that `name` has now, counting it. */
  takeSilently(id: ScopeId, name: string): string {
    const scope = this.scopes.get(id);
    return scope ? childKey(scope.key, name, count(scope, name).used) : "";
  }

  /** The step of that name is not open any more. */
  release(id: ScopeId, name: string): void {
    const counted = this.scopes.get(id)?.names.get(name);
    if (counted) counted.open = false;
  }

  uuid(id: ScopeId, seed: string): string {
    const scope = this.scopes.get(id);
    if (!scope) return "";
    scope.uuids += 1;
    return uuid(chance(seed, scope.key, "uuid", scope.uuids));
  }

  random(id: ScopeId, seed: string): number {
    const scope = this.scopes.get(id);
    if (!scope) return 0;
    scope.randoms += 1;
    return unit(chance(seed, scope.key, "random", scope.randoms));
  }
}

function scopeOf(key: string, kind: ScopeKind, parent: ScopeId | undefined): Scope {
  return { key, kind, parent, shielded: false, names: new Map(), uuids: 0, randoms: 0 };
}

function count(scope: Scope, name: string): { used: number; open: boolean } {
  let counted = scope.names.get(name);
  if (!counted) {
    counted = { used: 0, open: false };
    scope.names.set(name, counted);
  }
  counted.used += 1;
  return counted;
}
