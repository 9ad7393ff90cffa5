/** Many branches at once: all of them, the first of them, or one for each item of a list. */

import { Misuse } from "../errors.js";
import type { ScopeId, ScopeKind } from "../replay/scope.js";
import { Context } from "./context.js";
import type { Execution } from "./execution.js";
import { Pending } from "./pending.js";

/** What can be a branch: whatever a context gives to be awaited, or code with its own context. */
export type Branch<T = unknown> = Pending<T> | ((ctx: Context) => T | PromiseLike<T>);

/** What a branch gives. */
export type BranchValue<B> =
  B extends Pending<infer T> ? T : B extends (ctx: Context) => infer R ? Awaited<R> : never;

/** A list or an object of branches. */
export type Branches = readonly Branch[] | { readonly [name: string]: Branch };

/** The values of all branches, in their places. */
export type AllValues<B extends Branches> = { -readonly [Place in keyof B]: BranchValue<B[Place]> };

/** Which branch won, and what it gave. */
export type Winner<B extends Branches> = B extends readonly Branch[]
  ? { [I in keyof B & `${number}`]: { winner: ToNumber<I>; value: BranchValue<B[I]> } }[keyof B &
      `${number}`] extends infer Known
    ? [Known] extends [never]
      ? { winner: number; value: BranchValue<B[number]> }
      : Known
    : never
  : { [Name in keyof B]: { winner: Name; value: BranchValue<B[Name]> } }[keyof B];

type ToNumber<Text> = Text extends `${infer N extends number}` ? N : never;

interface Running {
  scope: ScopeId;
  place: string | number;
  promise: Promise<unknown>;
}

/** The scope of several branches, while they run. */
class Fan {
  readonly scope: ScopeId;

  constructor(
    private readonly execution: Execution,
    parent: ScopeId,
    name: string,
    kind: ScopeKind,
  ) {
    this.scope = execution.machine.scopes.open(parent, name, kind);
  }

  /** Begins code in a scope of its own. */
  run(
    name: string,
    code: (ctx: Context) => unknown,
  ): { scope: ScopeId; promise: Promise<unknown> } {
    const scope = this.open(name);
    return { scope, promise: runIn(this.execution, scope, code) };
  }

  branch(place: string | number, branch: Branch): Running {
    if (typeof branch === "function") return { place, ...this.run(String(place), branch) };
    if (!(branch instanceof Pending)) throw notABranch(place);
    const scope = this.open(branch.branchName ?? String(place));
    const promise = branch.beginIn(scope).finally(() => this.execution.machine.scopes.close(scope));
    return { place, scope, promise };
  }

  close(): void {
    this.execution.machine.scopes.close(this.scope);
  }

  private open(name: string): ScopeId {
    return this.execution.machine.scopes.open(this.scope, name, "sequence");
  }
}

/** Runs code with a context of its own, whose scope ends with it. */
export async function runIn<T>(
  execution: Execution,
  scope: ScopeId,
  code: (ctx: Context) => T | PromiseLike<T>,
): Promise<T> {
  try {
    return await code(new Context(execution, scope));
  } finally {
    execution.machine.scopes.close(scope);
  }
}

function notABranch(place: string | number): Misuse {
  return new Misuse(
    `\`${place}\` cannot be a branch`,
    "hand over what a context gives (`ctx.step(…)`), not yet awaited, or a function: `(ctx) => …`",
  );
}

const entries = (branches: Branches): Array<[string | number, Branch]> =>
  Array.isArray(branches)
    ? branches.map((branch: Branch, i) => [i, branch])
    : Object.entries(branches as { [name: string]: Branch });

/** Waits for all; the error of the first in the list is thrown once all have ended. */
export async function runAll(
  execution: Execution,
  scope: ScopeId,
  branches: Branches,
): Promise<unknown> {
  const fan = new Fan(execution, scope, "all", "all");
  const running = entries(branches).map(([place, branch]) => fan.branch(place, branch));
  const settled = await Promise.allSettled(running.map(({ promise }) => promise));
  fan.close();
  const values: Array<[string | number, unknown]> = settled.map((ended, i) => {
    if (ended.status === "rejected") throw ended.reason;
    return [running[i]?.place ?? i, ended.value];
  });
  return Array.isArray(branches) ? values.map(([, value]) => value) : Object.fromEntries(values);
}

/** Gives the first to end; the others are given up, and recorded as lost. */
export async function runRace(
  execution: Execution,
  scope: ScopeId,
  branches: Branches,
): Promise<{ winner: string | number; value: unknown }> {
  const fan = new Fan(execution, scope, "race", "first");
  const running = entries(branches).map(([place, branch]) => fan.branch(place, branch));
  if (running.length === 0)
    throw new Misuse("a race without branches has no winner", "give it one");
  const lose = () => {
    execution.lose(fan.scope);
    fan.close();
  };
  const races = running.map(async ({ place, promise }) => ({
    winner: place,
    value: await promise,
  }));
  // What the branches await is handed to them one at a time, so the first to settle is the same
  // each time.
  return Promise.race(races).finally(lose);
}

/** How a list is run. */
export interface MapOptions<Item> {
  /**
   * Names an item's scope, so that its steps are found again when the list changes; by default its
   * index does.
   */
  key?: (item: Item) => string;
  /** How many items run at once; 32 unless said. */
  concurrency?: number;
}

/** How many items run at once unless said otherwise. */
const CONCURRENCY = 32;

/** Runs a branch for each item, and gives their values in the items' order. */
export async function runMap<Item, T>(
  execution: Execution,
  scope: ScopeId,
  name: string,
  items: readonly Item[],
  each: (ctx: Context, item: Item, index: number) => T | PromiseLike<T>,
  options: MapOptions<Item>,
): Promise<T[]> {
  const fan = new Fan(execution, scope, name, "all");
  const values = new Array<T>(items.length);
  const failed: unknown[] = [];
  let next = 0;
  const work = async () => {
    while (next < items.length && failed.length === 0) {
      const index = next++;
      const item = items[index] as Item;
      const place = options.key?.(item) ?? String(index);
      try {
        values[index] = (await fan.run(place, (ctx) => each(ctx, item, index)).promise) as T;
      } catch (error) {
        failed.push(error);
      }
    }
  };
  const lanes = Math.max(1, Math.min(options.concurrency ?? CONCURRENCY, items.length));
  await Promise.all(Array.from({ length: lanes }, work));
  fan.close();
  if (failed.length > 0) throw failed[0];
  return values;
}
