/** Tools: functions of your own that a model may call. */

import { Context } from "./context/context.js";
import type { Body } from "./context/execution.js";
import { type Definition, noteMade } from "./definition.js";
import { type Duration, toMs } from "./duration.js";
import { InvalidValue, Misuse, TerminalError } from "./errors.js";
import type { Definition as WireDefinition } from "./protocol/frames.js";
import { fromValue } from "./protocol/value.js";
import { check, jsonSchemaOf, type Schema } from "./schema.js";
import type { Retry, StepContext } from "./step.js";

/** What can be said of a tool. */
export interface ToolOptions {
  /** The name that the model calls: letters, digits, `_` and `-`. */
  id: string;
  /** What the model is told of it. */
  description: string;
  /** `once` for what must not be repeated blindly; `repeatable` unless said. */
  effect?: "repeatable" | "once";
  /** How often a failed call is made again; `false` for never. */
  retry?: Retry | false;
  /** How long a call may take; ten minutes unless said. */
  timeout?: Duration;
  /** The queue of its calls. */
  queue?: string | { readonly name: string };
}

/** A tool: an agent's `tools` may hold it, and a workflow may call it. */
export class Tool<Input = never, Output = unknown> implements Definition<Input, Output> {
  declare readonly "~types"?: { input: (input: Input) => void; output: Output };
  readonly id: string;

  /** @internal */
  constructor(
    readonly registered: WireDefinition,
    readonly body: Body,
    readonly source: string,
    /** What the model is told of it. */
    readonly description: string,
    /** The JSON Schema of its arguments. */
    readonly parameters: Record<string, unknown>,
  ) {
    this.id = registered.name;
    noteMade(this);
  }
}

const NAME = /^[A-Za-z0-9_-]{1,64}$/;

/** Defines a tool. Its function is a step of the call's own run: recorded once, and tried again. */
export function defineTool<Input, Parsed, Output>(
  options: ToolOptions & { input: Schema<Input, Parsed> },
  run: (input: Parsed, step: StepContext) => Output,
): Tool<Input, Awaited<Output>>;
/** Defines a tool whose arguments are described as plain JSON Schema, and not checked here. */
export function defineTool<Output>(
  options: ToolOptions & { parameters: Record<string, unknown> },
  run: (input: unknown, step: StepContext) => Output,
): Tool<unknown, Awaited<Output>>;
export function defineTool(
  options: ToolOptions & { input?: Schema; parameters?: Record<string, unknown> },
  run: (input: never, step: StepContext) => unknown,
): Tool<unknown, unknown> {
  if (!NAME.test(options.id)) {
    throw new Misuse(`\`${options.id}\` is no tool's name`, "use letters, digits, `_` and `-`");
  }
  const parameters = parametersOf(options);
  const body: Body = async (execution, value) => {
    const given = fromValue(value);
    const { effect, input: schema, retry, timeout } = options;
    const parsed = schema ? checked(schema, given) : given;
    return await new Context(execution).step("call", (step) => run(parsed as never, step), {
      label: "tool",
      input: given,
      ...(effect ? { effect } : {}),
      ...(retry === undefined ? {} : { retry }),
      ...(timeout === undefined ? {} : { timeout }),
    });
  };
  const registered = wireDefinition(options, parameters);
  return new Tool(registered, body, String(run), options.description, parameters);
}

function parametersOf(options: {
  id: string;
  input?: Schema;
  parameters?: Record<string, unknown>;
}): Record<string, unknown> {
  const parameters = options.parameters ?? (options.input && jsonSchemaOf(options.input, "input"));
  if (parameters) return parameters;
  throw new Misuse(
    `the schema of tool \`${options.id}\` does not say its JSON Schema, which the model needs`,
    "use zod 4.2, arktype 2.1.28 or valibot with `toStandardJsonSchema`, or give `parameters`",
  );
}

/** What the model wrote does not fit: it is told so, and trying the same again cannot help. */
function checked(schema: Schema, given: unknown): unknown {
  try {
    return check(schema, given, "the arguments");
  } catch (error) {
    if (!(error instanceof InvalidValue)) throw error;
    throw new TerminalError(error.message, { code: "invalid_input" });
  }
}

function wireDefinition(options: ToolOptions, input: Record<string, unknown>): WireDefinition {
  const { description, id, queue, timeout } = options;
  const definition: WireDefinition = { name: id, kind: "tool", description, input };
  // What fails is told to the model, which a blocked run could not be.
  definition.on_error = "fail";
  if (queue !== undefined) definition.queue = typeof queue === "string" ? queue : queue.name;
  if (timeout !== undefined) definition.step_timeout_ms = toMs(timeout);
  return definition;
}
