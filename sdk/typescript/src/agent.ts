/** Agents: a model with instructions and tools. The loop runs in the native worker. */

import { defaultClient } from "./client/default.js";
import type { Client, RunEvent } from "./client.js";
import { Context } from "./context/context.js";
import type { Body } from "./context/execution.js";
import { type Definition, noteMade } from "./definition.js";
import { Misuse } from "./errors.js";
import type { Definition as WireDefinition } from "./protocol/frames.js";
import { derivedId } from "./protocol/id.js";
import { fromValue } from "./protocol/value.js";
import { Run } from "./run.js";
import { SandboxTools } from "./sandbox.js";
import { check, jsonSchemaOf, type Schema } from "./schema.js";
import { Tool } from "./tool.js";
import type { RunOptions } from "./workflow.js";

/** The workflow of the native worker that runs agents which come with their input. */
const NATIVE = "polos.agent";

/** When an agent must stop; reaching one fails the run with the code `limit_reached`. */
export interface AgentLimits {
  /** Turns of the model; 50 unless said. */
  turns?: number;
  /** Tokens in and out, over all turns. */
  tokens?: number;
  /** Money over all turns, in US dollars. */
  dollars?: number;
  /** Seconds of work; waiting for people is free. */
  seconds?: number;
}

/** What is asked of the model besides the conversation. */
export interface ModelOptions {
  maxTokens?: number;
  temperature?: number;
}

/** A tool of an agent: one of yours, a sandbox, another agent, or one of the built-in ones. */
export type AgentTool = Tool<never, unknown> | SandboxTools | Agent<unknown> | "ask_user";

/** What an agent is. */
export interface AgentOptions {
  /** Its name, unique in the namespace: lower-case letters, digits, `-` and `_`. */
  id: string;
  /** One line for people, and for models that may call it as a tool. */
  description?: string;
  /** `anthropic`, `openai` or `scripted`; what the environment names if absent. */
  provider?: string;
  /** The model; the provider's default if absent. */
  model?: string;
  /** The file of replies, for the provider `scripted`; an absolute path. */
  script?: string;
  /** The instructions. */
  systemPrompt?: string;
  tools?: SandboxTools | readonly AgentTool[];
  limits?: AgentLimits;
  options?: ModelOptions;
  /** The queue of its runs. */
  queue?: string | { readonly name: string };
  /** What an error that nobody caught does: by default a root run blocks and a child fails. */
  onError?: "block" | "fail";
}

/** What is said before, or now. */
export interface Message {
  role: "user" | "assistant";
  content: string;
}

/** What an agent is given: a text, or messages of which the last is the user's. */
export type AgentInput = string | { prompt?: string; messages?: readonly Message[] };

/** The tokens of all replies of a run. */
export interface Usage {
  input_tokens?: number;
  output_tokens?: number;
  [more: string]: unknown;
}

/** What an agent has answered. */
export interface RunResult<Output> {
  /** The answer: a text, or what its schema makes of it. */
  output: Output;
  /** The text of the last reply. */
  text: string;
  runId: string;
  usage: Usage;
  /** In US dollars, if the model's price is known. */
  cost: number | undefined;
  /** How many replies it took. */
  turns: number;
}

/** What the native worker gives back. */
interface NativeOutput {
  text: string;
  output?: unknown;
  stop: string;
  turns: number;
  usage: Usage;
  cost_micros?: number;
}

/** An agent: run it, stream it, or call it from a workflow. */
export class Agent<Output> implements Definition<AgentInput, NativeOutput> {
  declare readonly "~types"?: { input: (input: AgentInput) => void; output: NativeOutput };
  readonly id: string;
  readonly registered: WireDefinition;
  readonly body: Body;
  readonly source: string;

  /** @internal */
  constructor(
    readonly options: AgentOptions,
    private readonly outputSchema: Schema<unknown, Output> | undefined,
  ) {
    this.id = options.id;
    const agent = agentData(options, outputSchema);
    const tools = ownTools(options);
    this.registered = wireDefinition(options, agent);
    this.source = JSON.stringify(agent);
    const given = {
      agent,
      tools: tools.map(({ description, id, parameters }) => ({
        name: id,
        description,
        input_schema: parameters,
      })),
    };
    this.body = async (execution, value) => {
      const ctx = new Context(execution);
      const { session } = ctx.info;
      const input = fromValue(value);
      const native = { ...given, input };
      return await ctx.call(NATIVE, native, {
        // The agent's own text may change under a running run: the run goes on with what it began.
        onMismatch: "accept",
        ...(session === undefined ? {} : { session }),
      });
    };
    noteMade(this);
  }

  /** The definitions that must be served with it: its tools and the agents that it calls. */
  get parts(): Definition[] {
    return toolList(this.options).flatMap((tool) => {
      if (tool instanceof Tool) return [tool];
      return tool instanceof Agent ? [tool, ...tool.parts] : [];
    });
  }

  /** Runs the agent to its answer; throws a `RunFailed` if it does not come to one. */
  async run(input: AgentInput, options: RunOptions = {}): Promise<RunResult<Output>> {
    const run = await this.start(input, options);
    return this.result(run.id, await run.output());
  }

  /** Starts a run, and gives a handle on it once the start is durable. */
  async start(input: AgentInput, options: RunOptions = {}): Promise<Run<NativeOutput>> {
    const { client = await defaultClient(this), ...others } = options;
    const { id } = await client.start(this.id, input, others);
    return new Run<NativeOutput>(client, id);
  }

  /**
   * Runs the agent and gives what comes as it comes: the model's words, its calls, tools' output.
   * The last event is the answer.
   */
  async *stream(
    input: AgentInput,
    options: RunOptions = {},
  ): AsyncGenerator<AgentEvent<Output>, void, undefined> {
    const { client = await defaultClient(this) } = options;
    const run = await this.start(input, { ...options, client });
    yield* wordsOf(client, run.id);
    yield { type: "answer", result: this.result(run.id, await run.output()) };
  }

  private result(runId: string, native: NativeOutput): RunResult<Output> {
    const { cost_micros, output, text, turns, usage } = native;
    const answer = this.outputSchema ? check(this.outputSchema, output, "the answer") : text;
    const cost = cost_micros === undefined ? undefined : cost_micros / 1e6;
    return { output: answer as Output, text, runId, usage, cost, turns };
  }
}

/** What an agent's run says while it goes on; the answer comes last. */
export type AgentEvent<Output> =
  | (RunEvent & { type: "stream" })
  | { type: "answer"; result: RunResult<Output> };

/** The live output of the native run beneath an agent's. */
async function* wordsOf(
  client: Client,
  runId: string,
): AsyncGenerator<RunEvent & { type: "stream" }, void, undefined> {
  // Once the native run is begun, it says all there is to be said.
  const native = derivedId("run", runId, NATIVE);
  for await (const event of client.events(runId)) {
    if (event.type === "record" && event.record.record.key === NATIVE) break;
    if (event.type === "state" && ["failed", "cancelled", "blocked"].includes(event.state)) return;
  }
  for await (const event of client.events(native)) {
    if (event.type === "stream") yield event;
  }
}

/** Defines an agent whose answer follows a schema. */
export function defineAgent<Output>(
  options: AgentOptions & { output: Schema<unknown, Output> },
): Agent<Output>;
/** Defines an agent that answers with a text. */
export function defineAgent(options: AgentOptions): Agent<string>;
export function defineAgent(
  options: AgentOptions & { output?: Schema<unknown, unknown> },
): Agent<unknown> {
  const { output, ...others } = options;
  return new Agent(others, output);
}

const toolList = ({ tools }: AgentOptions): readonly AgentTool[] =>
  tools instanceof SandboxTools ? [tools] : (tools ?? []);

const ownTools = (options: AgentOptions): Tool[] =>
  toolList(options).filter((tool) => tool instanceof Tool);

/** The agent as its file would have it. */
function agentData(
  options: AgentOptions,
  output: Schema | undefined,
): { [field: string]: unknown } {
  const { description, id, limits, model, provider, script, systemPrompt } = options;
  const boxes = toolList(options).filter((tool) => tool instanceof SandboxTools);
  if (boxes.length > 1) throw new Misuse(`agent \`${id}\` has two sandboxes`, "give it one");
  const { maxTokens, temperature } = options.options ?? {};
  const modelOptions = { max_tokens: maxTokens, temperature };
  return withoutUndefined({
    id,
    description,
    provider,
    model,
    script,
    system: systemPrompt,
    tools: toolList(options).map(toolName),
    output: output && outputSchemaOf(id, output),
    limits: limits && withoutUndefined({ ...limits }),
    options: options.options && withoutUndefined(modelOptions),
    sandbox: boxes[0]?.config,
  });
}

function toolName(tool: AgentTool): string {
  if (typeof tool === "string") return tool;
  if (tool instanceof SandboxTools) return "sandbox";
  return tool instanceof Agent ? `agent:${tool.id}` : tool.id;
}

function outputSchemaOf(id: string, output: Schema): Record<string, unknown> {
  const schema = jsonSchemaOf(output, "output");
  if (schema) {
    const { $schema: _, ...plain } = schema;
    return plain;
  }
  throw new Misuse(
    `the output schema of agent \`${id}\` does not say its JSON Schema, which the model needs`,
    "use zod 4.2, arktype 2.1.28, or valibot with `toStandardJsonSchema`",
  );
}

const withoutUndefined = (fields: { [field: string]: unknown }): { [field: string]: unknown } =>
  Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined));

function wireDefinition(
  options: AgentOptions,
  agent: { [field: string]: unknown },
): WireDefinition {
  const { description, id, onError, queue } = options;
  const definition: WireDefinition = {
    name: id,
    kind: "agent",
    info: withoutUndefined({
      provider: agent.provider,
      model: agent.model,
      tools: agent.tools,
    }),
  };
  if (description !== undefined) definition.description = description;
  if (agent.output) definition.output = agent.output;
  if (queue !== undefined) definition.queue = typeof queue === "string" ? queue : queue.name;
  if (onError) definition.on_error = onError;
  return definition;
}
