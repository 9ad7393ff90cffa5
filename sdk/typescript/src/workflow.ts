/** Workflows: ordinary async functions whose steps are recorded. */

import { defaultClient } from "./client/default.js";
import type { Client, StartOptions } from "./client.js";
import { Context } from "./context/context.js";
import type { Body } from "./context/execution.js";
import { type Definition, noteMade } from "./definition.js";
import { type Duration, toMs } from "./duration.js";
import { InvalidValue, TerminalError } from "./errors.js";
import type { Definition as WireDefinition } from "./protocol/frames.js";
import { fromValue } from "./protocol/value.js";
import { Run } from "./run.js";
import { check, jsonSchemaOf, type Schema } from "./schema.js";

/** What can be said of a workflow. */
export interface WorkflowOptions {
  /** Its name, unique in the namespace. */
  id: string;
  /** One line for people. */
  description?: string;
  /** The queue of its runs unless they say otherwise. */
  queue?: string | { readonly name: string };
  /** What an error that nobody caught does: by default a root run blocks and a child fails. */
  onError?: "block" | "fail";
  /** The longest a step may take, for the server's own watch; ten minutes unless said. */
  stepTimeout?: Duration;
}

/** A workflow: run it, start it, or call it from another. */
export class Workflow<Input, Output> implements Definition<Input, Output> {
  declare readonly "~types"?: { input: (input: Input) => void; output: Output };
  readonly id: string;

  /** @internal */
  constructor(
    readonly registered: WireDefinition,
    readonly body: Body,
    readonly source: string,
    private readonly checkInput: (input: unknown) => void,
  ) {
    this.id = registered.name;
    noteMade(this);
  }

  /** Starts a run and waits for its output; throws a `RunFailed` if it does not complete. */
  async run(...[input, options]: Arguments<Input>): Promise<Output> {
    return (await this.start(...([input, options] as Arguments<Input>))).output();
  }

  /** Starts a run, and gives a handle on it once the start is durable. */
  async start(...[input, options = {}]: Arguments<Input>): Promise<Run<Output>> {
    this.checkInput(input);
    const { client = await defaultClient(this), ...others } = options;
    const { id } = await client.start(this.id, input, others);
    return new Run<Output>(client, id);
  }
}

/** How a run is started, and by which client. */
export interface RunOptions extends StartOptions {
  /** The client; by default one of the server that the environment names. */
  client?: Client;
}

/** The input may be left out where there is none. */
type Arguments<Input> = undefined extends Input
  ? [input?: Input, options?: RunOptions]
  : [input: Input, options?: RunOptions];

/** Defines a workflow whose input is checked by a schema. */
export function defineWorkflow<Input, Parsed, Output>(
  options: WorkflowOptions & {
    input: Schema<Input, Parsed>;
    output?: Schema<unknown, Awaited<Output>>;
  },
  code: (ctx: Context, input: Parsed) => Output,
): Workflow<Input, Awaited<Output>>;
/** Defines a workflow whose input is what its function takes. */
export function defineWorkflow<Input = void, Output = unknown>(
  options: WorkflowOptions & { input?: undefined; output?: Schema<unknown, Awaited<Output>> },
  code: (ctx: Context, input: Input) => Output,
): Workflow<Input, Awaited<Output>>;
export function defineWorkflow(
  options: WorkflowOptions & { input?: Schema | undefined; output?: Schema },
  code: (ctx: Context, input: never) => unknown,
): Workflow<unknown, unknown> {
  const { input, output } = options;
  const body: Body = async (execution, value) => {
    const given = fromValue(value);
    const parsed = input ? checkedInput(input, given) : given;
    const result = await code(new Context(execution), parsed as never);
    return output ? check(output, result, "the output") : result;
  };
  const checkInput = (given: unknown) => {
    if (input) check(input, given, `the input of \`${options.id}\``);
  };
  return new Workflow(wireDefinition(options), body, String(code), checkInput);
}

/** An input that does not fit fails the run for good: trying again cannot help. */
function checkedInput(schema: Schema, given: unknown): unknown {
  try {
    return check(schema, given, "the input");
  } catch (error) {
    if (!(error instanceof InvalidValue)) throw error;
    throw new TerminalError(error.message, { code: "invalid_input" });
  }
}

function wireDefinition(
  options: WorkflowOptions & { input?: Schema | undefined; output?: Schema },
): WireDefinition {
  const { description, input, onError, output, queue, stepTimeout } = options;
  const definition: WireDefinition = { name: options.id, kind: "workflow" };
  if (description !== undefined) definition.description = description;
  if (queue !== undefined) definition.queue = typeof queue === "string" ? queue : queue.name;
  if (onError) definition.on_error = onError;
  if (stepTimeout !== undefined) definition.step_timeout_ms = toMs(stepTimeout);
  const takes = input && jsonSchemaOf(input, "input");
  const gives = output && jsonSchemaOf(output, "output");
  if (takes) definition.input = takes;
  if (gives) definition.output = gives;
  return definition;
}
