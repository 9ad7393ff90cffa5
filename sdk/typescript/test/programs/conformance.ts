/**
 * The worker of a conformance scenario: it interprets the scenario's program with the SDK's own
 * public interface. What it is told stands in the environment: SCENARIO, POLOS_BUILD_ID, PLACE.
 */

import { readFileSync } from "node:fs";
import { join } from "node:path";
import {
  type Answer,
  type Branch,
  Cancelled,
  type Context,
  defineWorkflow,
  done,
  type Event,
  type Handle,
  NonRetryableError,
  NotDone,
  notDone,
  type Pending,
  PolosError,
  RetryableError,
  type StepContext,
  serve,
  TerminalError,
  unknown,
} from "@polos/sdk";
// Integers beyond 2^53 stand in scenarios: read as the SDK itself reads them.
import { parseJson, writeJson } from "../../dist/protocol/json.js";
import { Faults } from "./faults.js";

type Json = null | boolean | number | string | Json[] | { [name: string]: Json };
type Fields = { [name: string]: Json };
type Program = Fields[];

interface Scenario {
  programs: { [build: string]: Program };
  children?: { [workflow: string]: Program };
}

const place = process.env.PLACE ?? ".";
const build = process.env.POLOS_BUILD_ID ?? "";
const scenario = parseJson(readFileSync(process.env.SCENARIO ?? "", "utf8")) as Scenario;
const faults = new Faults(join(place));

/** What a list of statements came to: a value, if it returned one. */
type Ended = { value: unknown } | undefined;

/** The variables of a run, and the run's input. */
class Frame {
  readonly variables = new Map<string, unknown>();

  constructor(readonly input: unknown) {}

  /** A value of the scenario, with what stands in for others put in. */
  value(json: Json | undefined): unknown {
    if (typeof json !== "object" || json === null) return json ?? null;
    if (Array.isArray(json)) return json.map((item) => this.value(item));
    const [first] = Object.keys(json);
    if (first === "$var") return this.variable(json);
    if (first === "$input") return this.input;
    if (first === "$repeat") {
      const [text, times] = json.$repeat as [string, number];
      return text.repeat(times);
    }
    if (first === "$range") return Array.from({ length: json.$range as number }, (_, i) => i);
    return Object.fromEntries(Object.entries(json).map(([name, one]) => [name, this.value(one)]));
  }

  private variable(json: Fields): unknown {
    let value = this.variables.get(json.$var as string);
    for (const part of (json.path as Array<string | number>) ?? []) {
      value = (value as { [part: string]: unknown } | undefined)?.[part];
    }
    return value ?? null;
  }
}

async function run(ctx: Context, program: Program, frame: Frame): Promise<Ended> {
  for (const statement of program) {
    const ended = await execute(ctx, statement, frame);
    if (ended) return ended;
  }
  return undefined;
}

async function execute(ctx: Context, statement: Fields, frame: Frame): Promise<Ended> {
  const word = statement.do as string;
  if (word === "return") return { value: frame.value(statement.value) };
  const control = CONTROL[word];
  if (control) return control(ctx, statement, frame);
  const value = await evaluate(ctx, statement, frame);
  if (statement.as !== undefined) frame.variables.set(statement.as as string, value);
  return undefined;
}

type Control = (ctx: Context, statement: Fields, frame: Frame) => Promise<Ended>;

const list = (program: Json | undefined): Program => (program ?? []) as Program;

const CONTROL: { [word: string]: Control } = {
  if: (ctx, s, frame) => {
    const same = writeJson(frame.value(s.value)) === writeJson(frame.value(s.equals));
    return run(ctx, list(same ? s.then : s.else), frame);
  },
  patched: (ctx, s, frame) => run(ctx, list(ctx.patched(s.id as string) ? s.then : s.else), frame),
  repeat: async (ctx, s, frame) => {
    for (let i = 0; i < (s.times as number); i++) {
      const ended = await run(ctx, list(s.body), frame);
      if (ended) return ended;
    }
    return undefined;
  },
  try: async (ctx, s, frame) => {
    try {
      return await run(ctx, list(s.body), frame);
    } catch (error) {
      if (error instanceof Cancelled && s.cancelled !== true) throw error;
      if (s.as !== undefined) frame.variables.set(s.as as string, codeAndMessage(error));
      const ended = await run(ctx, list(s.catch), frame);
      if (error instanceof Cancelled) throw error;
      return ended;
    }
  },
};

function codeAndMessage(error: unknown): { code: string; message: string } {
  const code = error instanceof PolosError ? error.code : "error";
  return { code, message: error instanceof Error ? error.message : String(error) };
}

const named = (s: Fields): { name?: string } =>
  s.name === undefined ? {} : { name: s.name as string };

const timed = (s: Fields): { timeout?: number } =>
  s.timeout_ms === undefined ? {} : { timeout: s.timeout_ms as number };

/** What a statement that is one thing of the context's gives; not yet awaited. */
function begin(ctx: Context, s: Fields, frame: Frame): Pending<unknown> | undefined {
  const options = { ...named(s), ...(s.was === undefined ? {} : { was: s.was as string }) };
  const input = () => frame.value(s.input);
  switch (s.do) {
    case "step":
      return step(ctx, s, frame);
    case "sleep":
      return ctx.sleep(s.ms as number, named(s));
    case "event":
      return ctx.waitForEvent(s.topic as string, { ...named(s), ...timed(s) });
    case "signal":
      return ctx.waitForSignal(s.topic as string, { ...named(s), ...timed(s) });
    case "ask":
      return ask(ctx, s, frame);
    case "publish":
      return ctx.publish(s.topic as string, frame.value(s.payload), named(s));
    case "call":
      return ctx.call(s.workflow as string, input(), options);
    case "spawn":
      return ctx.spawn(s.workflow as string, input(), options);
    case "detach":
      return ctx.start(s.workflow as string, input(), options);
    case "join":
      return (frame.variables.get(s.handle as string) as Handle<unknown>).output;
    case "all":
      return ctx.all(branches(ctx, s, frame));
    case "race":
      return ctx.race(branches(ctx, s, frame));
    case "map":
      return map(ctx, s, frame);
    case "branch":
      return ctx.branch(s.name as string, (own) => branchValue(own, list(s.body), frame));
    case "cleanup":
      return ctx.cleanup((own) => branchValue(own, list(s.body), frame));
    default:
      return undefined;
  }
}

/** The scenario's value of what the context gave. */
function project(s: Fields, given: unknown): unknown {
  switch (s.do) {
    case "event":
    case "signal":
      return (given as Event).payload;
    case "ask": {
      const { approved, feedback, value } = given as Answer;
      return {
        approved,
        ...(feedback === undefined ? {} : { feedback }),
        ...(value === undefined ? {} : { value }),
      };
    }
    case "all":
      return (s.branches as Program[]).map((program, i) =>
        projectBranch(program, (given as unknown[])[i]),
      );
    case "race": {
      const { winner, value } = given as { winner: number; value: unknown };
      return [winner, projectBranch((s.branches as Program[])[winner] ?? [], value)];
    }
    default:
      return given ?? null;
  }
}

async function evaluate(ctx: Context, s: Fields, frame: Frame): Promise<unknown> {
  switch (s.do) {
    case "raise": {
      const [code, message] = [(s.code as string) ?? "error", (s.message as string) ?? ""];
      throw s.terminal ? new TerminalError(message, { code }) : new PolosError(message, { code });
    }
    case "removed":
      return ctx.removed(s.name as string);
    case "set":
      return frame.value(s.value);
    case "now":
      return ctx.now();
    case "uuid":
      return ctx.uuid();
    case "random":
      return ctx.random();
    case "stream":
      return ctx.stream(s.kind as string, frame.value(s.data));
    default: {
      const pending = begin(ctx, s, frame);
      if (!pending) throw new Error(`this harness does not know the word \`${s.do}\``);
      const given = await pending.finally(() => {
        if (pending.key !== undefined) faults.reachedSync(pending.key, "recorded");
      });
      return project(s, given);
    }
  }
}

function ask(ctx: Context, s: Fields, frame: Frame): Pending<Answer> {
  const title = (s.title ?? s.name) as string;
  const form = s.form === undefined ? {} : { formSchema: frame.value(s.form) as object };
  return ctx.ask(title, { ...named(s), ...timed(s), ...form });
}

/** True for a branch that is one single thing of the context's: it is handed over itself. */
function singleOf(program: Program): Fields | undefined {
  const [only] = program;
  const single = program.length === 1 && only && only.as === undefined ? only : undefined;
  return single && DIRECT.has(single.do as string) ? single : undefined;
}

const DIRECT = new Set(["step", "sleep", "event", "signal", "ask", "publish", "call", "join"]);

function branches(ctx: Context, s: Fields, frame: Frame): Branch[] {
  return (s.branches as Program[]).map((program) => {
    const single = singleOf(program);
    const direct = single && begin(ctx, single, frame);
    return direct ?? ((own: Context) => branchValue(own, program, frame));
  });
}

function projectBranch(program: Program, given: unknown): unknown {
  const single = singleOf(program);
  return single ? project(single, given) : (given ?? null);
}

async function branchValue(ctx: Context, program: Program, frame: Frame): Promise<unknown> {
  const [only] = program;
  if (program.length === 1 && only && only.do !== "return" && !CONTROL[only.do as string]) {
    const value = await evaluate(ctx, only, frame);
    if (only.as !== undefined) frame.variables.set(only.as as string, value);
    return value;
  }
  const ended = await run(ctx, program, frame);
  return ended?.value ?? null;
}

function map(ctx: Context, s: Fields, frame: Frame): Pending<unknown> {
  const each = async (own: Context, item: unknown) => {
    const inner = new Frame(frame.input);
    for (const [name, value] of frame.variables) inner.variables.set(name, value);
    inner.variables.set(s.item as string, item);
    return branchValue(own, list(s.body), inner);
  };
  const options = {
    ...(s.concurrency === undefined ? {} : { concurrency: s.concurrency as number }),
    ...(s.key === true
      ? { key: (item: unknown) => (typeof item === "string" ? item : writeJson(item)) }
      : {}),
  };
  return ctx.map(s.name as string, frame.value(s.items) as unknown[], each, options);
}

type Failing = Fields | null | undefined;

function step(ctx: Context, s: Fields, frame: Frame): Pending<unknown> {
  const gives = frame.value(s.gives);
  const act = async (step: StepContext) => {
    await faults.reached(step.key, "before_effect");
    const failing = (s.fails as Failing[] | undefined)?.[step.attempt - 1];
    if (failing?.before) throw failed(failing);
    for (const [kind, data] of (s.streams as Array<[string, Json]>) ?? []) {
      step.stream(kind, frame.value(data));
    }
    const nth = faults.act(step);
    const takes = Array.isArray(s.takes_ms) ? s.takes_ms[nth] : s.takes_ms;
    if (takes) await new Promise((resolve) => setTimeout(resolve, takes as number));
    await faults.reached(step.key, "after_effect");
    if (failing) throw failed(failing);
    return gives;
  };
  const verify = (_input: unknown, key: string) => {
    if (s.verify === "raise") throw new Error("the world does not answer");
    if (s.verify === "unknown") return unknown;
    return faults.hasActed(key) ? done(gives) : notDone;
  };
  const { attempts, initial_ms, factor, max_ms, jitter, not_on } = (s.retry ?? {}) as Fields;
  return ctx.step(s.name as string, act, {
    retry: {
      attempts: (attempts as number) ?? 5,
      initialMs: (initial_ms as number) ?? 10,
      factor: (factor as number) ?? 1,
      jitter: (jitter as number) ?? 0,
      ...(max_ms === undefined ? {} : { maxMs: max_ms as number }),
      ...(not_on === undefined ? {} : { notOn: not_on as string[] }),
    },
    ...timed(s),
    ...(s.effect === undefined ? {} : { effect: s.effect as "once" | "repeatable" }),
    ...(s.args === undefined ? {} : { input: frame.value(s.args) }),
    ...(s.verify === undefined ? {} : { verify }),
    ...(s.was === undefined ? {} : { was: s.was as string }),
  });
}

function failed(failing: Fields): Error {
  const options = {
    code: (failing.code as string) ?? "error",
    ...(failing.retry_after_ms ? { retryAfterMs: failing.retry_after_ms as number } : {}),
    ...(failing.cause ? { cause: causeOf(failing.cause as Fields) } : {}),
  };
  const message = (failing.message as string) ?? "it failed";
  if (failing.terminal) return new TerminalError(message, options);
  if (failing.not_done) return new NotDone(message, options);
  if (failing.no_retry) return new NonRetryableError(message, options);
  return new RetryableError(message, options);
}

function causeOf(cause: Fields): Error {
  return new PolosError((cause.message as string) ?? "", {
    code: (cause.code as string) ?? "error",
    ...(cause.cause ? { cause: causeOf(cause.cause as Fields) } : {}),
  });
}

function workflow(id: string, program: Program) {
  return defineWorkflow({ id }, async (ctx, input: unknown) => {
    const ended = await run(ctx, program, new Frame(input));
    return ended?.value ?? null;
  });
}

const program = scenario.programs[build];
if (!program) throw new Error(`the scenario has no program \`${build}\``);
const children = Object.entries(scenario.children ?? {});
await serve({
  definitions: [workflow("main", program), ...children.map(([id, code]) => workflow(id, code))],
  build,
});
