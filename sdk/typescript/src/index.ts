/** Durable workflows and AI agents as plain TypeScript. */

export {
  type Agent,
  type AgentEvent,
  type AgentInput,
  type AgentLimits,
  type AgentOptions,
  type AgentTool,
  defineAgent,
  type Message,
  type ModelOptions,
  type RunResult,
  type Usage,
} from "./agent.js";
export {
  Client,
  type Decision,
  type EventsOptions,
  type Page,
  type PageOptions,
  type RunEvent,
  type StartOptions,
} from "./client.js";
export {
  type AskOptions,
  type Branch,
  type CallOptions,
  Context,
  type Event,
  type Handle,
  type MapOptions,
  type RunInfo,
  type WaitOptions,
} from "./context/context.js";
export type { Pending } from "./context/pending.js";
export type { Definition } from "./definition.js";
export type { Duration } from "./duration.js";
export * from "./errors.js";
export type { Answer } from "./protocol/details.js";
export type * as protocol from "./protocol/rest.js";
export { Unrecordable } from "./protocol/value.js";
export type { Queue } from "./queue.js";
export { Run } from "./run.js";
export {
  type DockerEnvironmentConfig,
  type ExecToolConfig,
  type FileToolConfig,
  type LocalEnvironmentConfig,
  type SandboxTools,
  type SandboxToolsConfig,
  sandboxTools,
} from "./sandbox.js";
export type { InputOf, OutputOf, Schema } from "./schema.js";
export {
  done,
  notDone,
  type Retry,
  type StepContext,
  type StepOptions,
  unknown,
  type Verdict,
} from "./step.js";
export { defineTool, type Tool, type ToolOptions } from "./tool.js";
export { VERSION } from "./version.js";
export { serve, Worker, type WorkerOptions } from "./worker.js";
export {
  defineWorkflow,
  type RunOptions,
  type Workflow,
  type WorkflowOptions,
} from "./workflow.js";
