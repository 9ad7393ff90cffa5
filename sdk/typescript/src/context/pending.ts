/**
 * What a context gives to be awaited. Nothing is asked for before it is awaited (or handed to
 * `ctx.all` and the like): only then is it known in which branch it stands.
 */

import type { ScopeId } from "../replay/scope.js";
import type { Execution } from "./execution.js";

/** How something is begun. */
export interface Beginning<T> {
  /** How people call it. */
  readonly label: string;
  /** The scope of the context that made it. */
  readonly scope: ScopeId;
  /** Its key in the journal, once it is begun; composites have none. */
  readonly key?: () => string | undefined;
  /** The name of its scope as an item of `all` or `race`; its place if absent. */
  readonly branchName?: string;
  /** Begins it in a scope; `isItem` if that is a scope of its own. */
  readonly begin: (scope: ScopeId, isItem: boolean) => Promise<T>;
}

const RACES = /\bat (?:\w+\.)?(race|any) \(<anonymous>\)/;
const FRAMES = 4;

/** Something to be awaited, once or often; it begins when that is first done. */
export class Pending<T> implements Promise<T> {
  readonly [Symbol.toStringTag] = "Pending";
  #begun: Promise<T> | undefined;

  constructor(
    private readonly execution: Execution,
    private readonly beginning: Beginning<T>,
  ) {
    execution.made(this);
  }

  /** How people call it. */
  get label(): string {
    return this.beginning.label;
  }

  /** Its key in the journal, once it has been asked for. */
  get key(): string | undefined {
    return this.beginning.key?.();
  }

  /** The scope of the context that made it. */
  get scope(): ScopeId {
    return this.beginning.scope;
  }

  get branchName(): string | undefined {
    return this.beginning.branchName;
  }

  /** Begins it as an item of several, in a scope that is its own. */
  beginIn(scope: ScopeId): Promise<T> {
    return this.#begin(scope, true);
  }

  #begin(scope: ScopeId, isItem: boolean): Promise<T> {
    if (!this.#begun) {
      this.execution.begun(this);
      this.#begun = this.beginning.begin(scope, isItem);
    }
    return this.#begun;
  }

  // The language reads `then` while its own `Promise.race` is still on the stack: that is the one
  // moment in which the misuse can be seen.
  // biome-ignore lint/suspicious/noThenProperty: it is awaited like a promise
  get then(): Promise<T>["then"] {
    if (!this.#begun && isRaced()) this.execution.refuseRace(this.label);
    return (onValue, onError) => this.#begin(this.beginning.scope, false).then(onValue, onError);
  }

  // biome-ignore lint/suspicious/noExplicitAny: as the language's own promises have it
  catch<R = never>(onError?: ((reason: any) => R | PromiseLike<R>) | null): Promise<T | R> {
    return this.then(undefined, onError);
  }

  finally(onEnd?: (() => void) | null): Promise<T> {
    return this.#begin(this.beginning.scope, false).finally(onEnd);
  }
}

/** True if the caller's caller is `Promise.race` or `Promise.any`. */
function isRaced(): boolean {
  const limit = Error.stackTraceLimit;
  Error.stackTraceLimit = FRAMES;
  const { stack } = new Error("");
  Error.stackTraceLimit = limit;
  return stack !== undefined && RACES.test(stack);
}
