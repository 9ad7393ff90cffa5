/** The context: all that a workflow's code may ask of its run. */

import type { Definition } from "../definition.js";
import { type Duration, toMs } from "../duration.js";
import type { Answer } from "../protocol/details.js";
import type { DefinitionKind } from "../protocol/frames.js";
import { encode, fromValue } from "../protocol/value.js";
import { openCleanup, patched, removed } from "../replay/markers.js";
import { ROOT, type ScopeId } from "../replay/scope.js";
import { check, jsonSchemaOf, type Schema } from "../schema.js";
import type { StepContext, StepOptions } from "../step.js";
import { type CallOptions, callLeaf, type Handle, spawnPending, startPending } from "./children.js";
import type { Execution } from "./execution.js";
import {
  type AllValues,
  type Branch,
  type Branches,
  type MapOptions,
  runAll,
  runIn,
  runMap,
  runRace,
  type Winner,
} from "./fan.js";
import {
  carried,
  deadline,
  filledForm,
  type Leaf,
  openWhat,
  pendingLeaf,
  readAnswer,
  readEvent,
  stepLeaf,
} from "./leaves.js";
import { Pending } from "./pending.js";

/** An event that came. */
export interface Event<T = unknown> {
  id: string;
  /** Its place in its topic. */
  position: number;
  /** When it was published, in milliseconds since the epoch. */
  at: number;
  /** What it carries. */
  payload: T;
}

/** How to wait for an event or a signal. */
export interface WaitOptions<T> {
  /** The step's name; the topic by default. */
  name?: string;
  /** Gives up after this time: throws a `StepFailed` with the code `timeout`. */
  timeout?: Duration;
  /** What the payload must fit. */
  schema?: Schema<unknown, T>;
}

/** How to ask a person. */
export interface AskOptions<T = unknown> {
  /** The step's name; the question by default. */
  name?: string;
  /** The form of the answer. With it, the filled form is given, and a no is thrown. */
  form?: Schema<unknown, T>;
  /** The form of the answer as plain JSON Schema; the whole `Answer` is given, unchecked. */
  formSchema?: object;
  /** Gives up after this time: throws a `StepFailed` with the code `timeout`. */
  timeout?: Duration;
  /** The exact thing to be done: a command, a diff, arguments. */
  subject?: unknown;
  /** Who may answer; anyone with the right if absent. */
  assignees?: readonly string[];
}

/** How to name a wait where several stand open at once. */
export interface NameOption {
  name?: string;
}

/** A run, as its code sees it: all that a workflow's body awaits comes from here. */
export class Context {
  constructor(
    private readonly execution: Execution,
    private readonly scope: ScopeId = ROOT,
  ) {}

  /** The run's id. */
  get runId(): string {
    return this.execution.machine.start.run;
  }

  /** What is known of the run from its start. */
  get info(): RunInfo {
    const { start } = this.execution.machine;
    return {
      runId: start.run,
      workflow: start.workflow,
      kind: start.kind,
      root: start.root,
      parent: start.parent,
      depth: start.depth ?? 0,
      session: start.options?.session,
      labels: start.options?.labels ?? {},
      principal: start.principal,
      createdMs: start.created_ms,
    };
  }

  /** Aborted once the run is being cancelled. */
  get signal(): AbortSignal {
    return this.execution.signal;
  }

  /** True while recorded outcomes are handed to the code: for logs to be written once. */
  get isReplaying(): boolean {
    return this.execution.machine.isReplaying;
  }

  /**
   * The run's time in milliseconds since the epoch: when the last outcome that the code was handed
   * was recorded. The same on replay; it never goes back.
   */
  now(): number {
    return this.execution.machine.codeMs;
  }

  /** A UUID that derives from the run: the same on replay. Not a secret. */
  uuid(): string {
    const { machine } = this.execution;
    return machine.scopes.uuid(this.scope, machine.start.seed);
  }

  /** A number in 0..1 that derives from the run: the same on replay. Not a secret. */
  random(): number {
    const { machine } = this.execution;
    return machine.scopes.random(this.scope, machine.start.seed);
  }

  /**
   * A step: the function is run and what it returns recorded; on replay the recorded value is
   * given without running it again. The value is durable before the code goes on.
   */
  step<T, I = undefined>(
    name: string,
    run: (step: StepContext) => T | PromiseLike<T>,
    options: StepOptions<NoInfer<T>, I> = {},
  ): Pending<T> {
    return this.leaf(stepLeaf(name, run, options));
  }

  /** Runs a child and gives its output; throws a `StepFailed` if the child failed. */
  call<I, O>(callable: Definition<I, O>, input: I, options?: CallOptions): Pending<O>;
  call<O = unknown>(name: string, input?: unknown, options?: CallOptions): Pending<O>;
  call(
    callable: Definition | string,
    input?: unknown,
    options: CallOptions = {},
  ): Pending<unknown> {
    return this.leaf(callLeaf(callable, input, options));
  }

  /** Starts a child and gives a handle on it, once the start is durable. */
  spawn<I, O>(callable: Definition<I, O>, input: I, options?: CallOptions): Pending<Handle<O>>;
  spawn<O = unknown>(name: string, input?: unknown, options?: CallOptions): Pending<Handle<O>>;
  spawn(
    callable: Definition | string,
    input?: unknown,
    options: CallOptions = {},
  ): Pending<Handle<unknown>> {
    return spawnPending(this.execution, this.scope, callable, input, options);
  }

  /** Starts a run that this one neither waits for nor cancels, and gives its id. */
  start<I>(callable: Definition<I, unknown>, input: I, options?: CallOptions): Pending<string>;
  start(name: string, input?: unknown, options?: CallOptions): Pending<string>;
  start(
    callable: Definition | string,
    input?: unknown,
    options: CallOptions = {},
  ): Pending<string> {
    return startPending(this.execution, this.scope, callable, input, options);
  }

  /**
   * Runs branches side by side and waits for all of them. If some fail, the error of the first of
   * those is thrown, once all have ended.
   */
  all<const B extends Branches>(branches: B): Pending<AllValues<B>> {
    return this.composite("all", (scope) => runAll(this.execution, scope, branches)) as Pending<
      AllValues<B>
    >;
  }

  /**
   * Runs branches side by side until the first one ends, with a value or an error. The others are
   * given up where they stand, and recorded as lost.
   */
  race<const B extends Branches>(branches: B): Pending<Winner<B>> {
    return this.composite("race", (scope) => runRace(this.execution, scope, branches)) as Pending<
      Winner<B>
    >;
  }

  /**
   * Runs a branch for each item, some at once, and gives their values in the items' order. After
   * an error no further item is begun, and the error is thrown once the others have ended.
   */
  map<Item, T>(
    name: string,
    items: readonly Item[],
    each: (ctx: Context, item: Item, index: number) => T,
    options: MapOptions<Item> = {},
  ): Pending<Array<Awaited<T>>> {
    return this.composite(name, (scope) =>
      runMap<Item, Awaited<T>>(
        this.execution,
        scope,
        name,
        items,
        each as (ctx: Context, item: Item, index: number) => Awaited<T>,
        options,
      ),
    );
  }

  /** Code with a scope of its own, by itself or as a branch of `all` and `race`. */
  branch<T>(name: string, code: (ctx: Context) => T): Pending<Awaited<T>> {
    const { execution } = this;
    const begin = (scope: ScopeId, isItem: boolean): Promise<Awaited<T>> => {
      const own = isItem ? scope : execution.machine.scopes.open(scope, name, "sequence");
      return runIn<Awaited<T>>(execution, own, code as (ctx: Context) => Awaited<T>);
    };
    return new Pending(execution, { label: name, scope: this.scope, branchName: name, begin });
  }

  /** Code that runs even though the run is being cancelled, for a bounded time. */
  cleanup<T>(code: (ctx: Context) => T): Pending<Awaited<T>> {
    const { execution } = this;
    return this.composite("cleanup", (scope) => {
      const own = openCleanup(execution.machine, scope);
      return runIn<Awaited<T>>(execution, own, code as (ctx: Context) => Awaited<T>);
    });
  }

  /** Pauses durably: a long pause holds no memory, no thread and no worker. */
  sleep(duration: Duration, options: NameOption = {}): Pending<void> {
    const ms = toMs(duration);
    return this.timer(() => this.execution.now() + ms, options);
  }

  /** Pauses until a time. */
  sleepUntil(time: Date | number, options: NameOption = {}): Pending<void> {
    return this.timer(() => Math.ceil(Number(time)), options);
  }

  private timer(at: () => number, options: NameOption): Pending<void> {
    return this.leaf({
      name: options.name ?? "sleep",
      what: () => openWhat({ timer: { at: at() } }),
      read: () => undefined,
    });
  }

  /** The next event on a topic of the namespace that this run has not seen. */
  waitForEvent<T = unknown>(topic: string, options: WaitOptions<T> = {}): Pending<Event<T>> {
    return this.arrival(topic, false, options);
  }

  /** The next signal of this name that is sent to this very run. */
  waitForSignal<T = unknown>(name: string, options: WaitOptions<T> = {}): Pending<Event<T>> {
    return this.arrival(name, true, options);
  }

  private arrival<T>(topic: string, signal: boolean, options: WaitOptions<T>): Pending<Event<T>> {
    const { schema } = options;
    return this.leaf({
      name: options.name ?? topic,
      what: () =>
        openWhat({ event: { topic, signal, ...deadline(this.execution, options.timeout) } }),
      read: (outcome) => {
        const event = readEvent(outcome);
        const payload = fromValue(event.payload);
        const what = `the payload of \`${topic}\``;
        return { ...event, payload: schema ? check(schema, payload, what) : (payload as T) };
      },
    });
  }

  /** Publishes an event on a topic of the namespace once, or sends it to one run as a signal. */
  publish(
    topic: string,
    payload?: unknown,
    options: NameOption & { to?: string } = {},
  ): Pending<void> {
    const written = carried(payload);
    const detail = { topic, ...(options.to === undefined ? {} : { run: options.to }) };
    return this.leaf({
      name: options.name ?? topic,
      what: () => ({ type: "emit", detail, payload: written }),
      read: () => undefined,
    });
  }

  /** Asks a person and waits for the answer. With a `form`, gives what the person filled in. */
  ask<T>(question: string, options: AskOptions<T> & { form: Schema<unknown, T> }): Pending<T>;
  ask(question: string, options?: Omit<AskOptions, "form">): Pending<Answer>;
  ask(question: string, options: AskOptions = {}): Pending<unknown> {
    const { form } = options;
    const formSchema = form ? jsonSchemaOf(form, "input") : options.formSchema;
    const subject = options.subject === undefined ? undefined : encode(options.subject);
    const approval = {
      title: question,
      kind: form || formSchema ? ("answer" as const) : ("approval" as const),
      ...(subject ? { subject } : {}),
      ...(formSchema ? { form: formSchema } : {}),
      ...(options.assignees ? { assignees: [...options.assignees] } : {}),
    };
    return this.leaf({
      name: options.name ?? question,
      what: () =>
        openWhat({ approval: { ...approval, ...deadline(this.execution, options.timeout) } }),
      read: (outcome, key) => {
        const answer = readAnswer(outcome);
        return form ? check(form, filledForm(answer, key), "the answer") : answer;
      },
    });
  }

  /**
   * True from the place on where the run first came here with this code: guards changed code, so
   * that runs that were past this place keep their old way.
   */
  patched(id: string): boolean {
    return patched(this.execution.machine, this.scope, id);
  }

  /** Declares that recorded steps of this name, in this scope, are not asked for any more. */
  removed(name: string): void {
    removed(this.execution.machine, this.scope, name);
  }

  /** Sends a piece of live output of the run itself. Not journaled, not repeated on replay. */
  stream(kind: string, data: unknown): void {
    if (!this.isReplaying) this.execution.stream("", 1, kind, data);
  }

  private leaf<T>(leaf: Leaf<T>): Pending<T> {
    return pendingLeaf(this.execution, this.scope, leaf);
  }

  private composite<T>(label: string, begin: (scope: ScopeId) => Promise<T>): Pending<T> {
    return new Pending(this.execution, { label, scope: this.scope, begin });
  }
}

/** What is known of a run from its start. */
export interface RunInfo {
  runId: string;
  /** The name of what it runs, and what that is. */
  workflow: string;
  kind: DefinitionKind;
  /** The first run of its tree, and the run that started it. */
  root: string;
  parent: string | undefined;
  /** How deep it stands under its root. */
  depth: number;
  session: string | undefined;
  labels: { readonly [name: string]: string };
  /** Who started it. */
  principal: string;
  createdMs: number;
}

export type { Branch, CallOptions, Handle, MapOptions };
