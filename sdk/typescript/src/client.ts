/** The client: everything under `/v1`, typed. */

import { type Address, address, findAddress } from "./client/address.js";
import { type EventsOptions, type RunEvent, runEvents } from "./client/events.js";
import { Http, type Query } from "./client/http.js";
import { type CallOptions, runOptions } from "./context/children.js";
import type { Definition } from "./definition.js";
import { RunFailed } from "./errors.js";
import type {
  ApiKey,
  Approval,
  ApprovalState,
  AuditEntry,
  BulkRequest,
  BulkResponse,
  DefinitionKind,
  DefinitionStatus,
  Health,
  JournalPage,
  KeyRequest,
  KeyResponse,
  PublishResponse,
  QueueStatus,
  RunDetail,
  RunFilter,
  RunResult,
  RunSummary,
  Session,
  StartResponse,
  Turn,
  VerbResponse,
  Version,
  WorkerStatus,
} from "./protocol/rest.js";
import { decode, encode } from "./protocol/value.js";
import { type Queue, queueConfig } from "./queue.js";

/** How long one long poll waits. */
const POLL_MS = 25_000;
/** What a long poll may take beyond its wait. */
const POLL_MARGIN_MS = 15_000;

/** A page of a list, and where the next one begins. */
export interface Page<T> {
  items: T[];
  next_cursor?: string;
}

/** Which page of a list. */
export interface PageOptions {
  /** `next_cursor` of the page before. */
  cursor?: string;
  /** How many items a page has. */
  limit?: number;
}

/** How a run is started. */
export interface StartOptions extends Omit<CallOptions, "name" | "was" | "onMismatch"> {
  /**
   * An idempotency key: a second start with the same key and input is the same run; with another
   * input it is refused.
   */
  key?: string;
  /** Refuses a name that no connected worker has registered. */
  mustExist?: boolean;
  /** Keeps the run to the build that starts it. */
  pin?: boolean;
  signal?: AbortSignal;
}

/** How a question is answered. */
export interface Decision {
  approved: boolean;
  /** What else is to be said; it reaches the model or the code. */
  feedback?: string;
  /** The filled form, or changed arguments. */
  value?: unknown;
  /** How far a yes goes. */
  scope?: "once" | "run" | "session" | "always";
  /** The hash of what was shown; refused if the question has another. */
  subjectHash?: string;
}

/** A client of one server. */
export class Client {
  private readonly http: Http;

  /** A client of the server at `url`; by default of the one that the environment names. */
  constructor(url?: string, token?: string) {
    this.http = new Http(url === undefined ? findAddress() : address(url, token ?? ""));
  }

  /** Where it calls. */
  get address(): Address {
    return this.http.address;
  }

  /** Starts a run of a workflow, agent or tool. */
  async start<I>(
    callable: Definition<I, unknown>,
    input: I,
    options?: StartOptions,
  ): Promise<StartResponse>;
  async start(name: string, input?: unknown, options?: StartOptions): Promise<StartResponse>;
  async start(
    callable: Definition | string,
    input?: unknown,
    options: StartOptions = {},
  ): Promise<StartResponse> {
    const request = {
      workflow: typeof callable === "string" ? callable : callable.id,
      input: encode(input === undefined ? null : input),
      key: options.key,
      options: { ...runOptions(options), ...(options.pin ? { pin: true } : {}) },
      must_exist: options.mustExist,
    };
    return this.http.post("/v1/runs", request, options.signal);
  }

  /** Starts a run and waits for its output; throws a `RunFailed` if it does not complete. */
  async run<I, O>(callable: Definition<I, O>, input: I, options?: StartOptions): Promise<O>;
  async run<O = unknown>(name: string, input?: unknown, options?: StartOptions): Promise<O>;
  async run(
    callable: Definition | string,
    input?: unknown,
    options: StartOptions = {},
  ): Promise<unknown> {
    const name = typeof callable === "string" ? callable : callable.id;
    const { id } = await this.start(name, input, options);
    return this.output(id, options.signal);
  }

  /** Waits for a run's output; throws a `RunFailed` if it does not complete. */
  async output<O = unknown>(runId: string, signal?: AbortSignal): Promise<O> {
    const result = await this.wait(runId, signal);
    if (result.state !== "completed") throw new RunFailed(result);
    return result.output as O;
  }

  /** Waits until a run has ended or is blocked. */
  async wait(runId: string, signal?: AbortSignal): Promise<RunResult> {
    for (;;) {
      const result = await this.result(runId, POLL_MS, signal);
      const ended = ["completed", "failed", "cancelled"].includes(result.state);
      if (ended || result.blocked) return result;
    }
  }

  /** The outcome of a run, waiting for it at most this long. */
  async result(runId: string, waitMs = 0, signal?: AbortSignal): Promise<RunResult> {
    const wait_ms = Math.min(waitMs, POLL_MS);
    const timeoutMs = wait_ms + POLL_MARGIN_MS;
    const options = { query: { wait_ms }, timeoutMs, signal };
    const result = await this.http.get<RunResult>(`/v1/runs/${runId}/result`, options);
    return "output" in result ? { ...result, output: decode(result.output) } : result;
  }

  /** A run's events as they happen, from its beginning or after a position. */
  events(runId: string, options: EventsOptions = {}): AsyncGenerator<RunEvent, void, undefined> {
    return runEvents(this.http, runId, options);
  }

  /** A run, whole but for its journal. */
  get(runId: string): Promise<RunDetail> {
    return this.http.get(`/v1/runs/${runId}`);
  }

  /** A page of runs, newest first. */
  runs(filter: RunFilter = {}, page: PageOptions = {}): Promise<Page<RunSummary>> {
    return this.http.get("/v1/runs", { query: { ...filterQuery(filter), ...page } });
  }

  /** A page of a run's journal, oldest first, after a sequence number. */
  journal(runId: string, after = 0, limit?: number): Promise<JournalPage> {
    return this.http.get(`/v1/runs/${runId}/journal`, { query: { after, limit } });
  }

  /** Cancels a run: its code may clean up. */
  cancel(runId: string, reason?: string): Promise<VerbResponse> {
    return this.verb(runId, "cancel", { reason });
  }

  /** Ends a run at once, without running any of its code. */
  kill(runId: string, reason?: string): Promise<VerbResponse> {
    return this.verb(runId, "kill", { reason });
  }

  /** Goes on with a blocked or failed run, from the step that failed. */
  resume(
    runId: string,
    options: { accept?: boolean; anyBuild?: boolean } = {},
  ): Promise<VerbResponse> {
    return this.verb(runId, "resume", { accept: options.accept, any_build: options.anyBuild });
  }

  /** Does a step and all after it again. */
  retry(
    runId: string,
    options: { step?: string; again?: readonly string[]; newKeys?: boolean } = {},
  ): Promise<VerbResponse> {
    const { step, again, newKeys } = options;
    return this.verb(runId, "retry", { step, again: again && [...again], new_keys: newKeys });
  }

  /** Starts a new run with the journal up to a step. */
  fork(runId: string, options: { at?: string; input?: unknown } = {}): Promise<VerbResponse> {
    const input = "input" in options ? encode(options.input) : undefined;
    return this.verb(runId, "fork", { at: options.at, input });
  }

  /** Says how a `once` step in doubt ended. */
  settle(
    runId: string,
    step: string,
    outcome: { done: unknown } | { notDone: true },
  ): Promise<VerbResponse> {
    const body = "done" in outcome ? { done: encode(outcome.done ?? null) } : { not_done: true };
    return this.verb(runId, "settle", { step, ...body });
  }

  /** Does a verb to all runs that fit a filter. */
  bulk(request: BulkRequest): Promise<BulkResponse> {
    return this.http.post("/v1/runs/bulk", request);
  }

  private verb(runId: string, verb: string, body: object): Promise<VerbResponse> {
    return this.http.post(`/v1/runs/${runId}/${verb}`, body);
  }

  /** A page of questions to people, newest first. */
  approvals(
    options: PageOptions & { state?: ApprovalState; run?: string } = {},
  ): Promise<Page<Approval>> {
    return this.http.get("/v1/approvals", { query: { ...options } });
  }

  /** A question to a person. */
  approval(id: string): Promise<Approval> {
    return this.http.get(`/v1/approvals/${id}`);
  }

  /** Answers a question. */
  decide(id: string, decision: Decision): Promise<Approval> {
    const { approved, feedback, scope, subjectHash } = decision;
    const value = decision.value === undefined ? undefined : encode(decision.value);
    const body = { approved, feedback, value, scope, subject_hash: subjectHash };
    return this.http.post(`/v1/approvals/${id}/decide`, body);
  }

  /** Publishes an event, or sends a signal to one run. */
  publish(
    topic: string,
    payload?: unknown,
    options: { run?: string; key?: string } = {},
  ): Promise<PublishResponse> {
    const written = encode(payload === undefined ? null : payload);
    return this.http.post("/v1/events", { topic, payload: written, ...options });
  }

  /** Makes a session: a conversation over many runs. */
  createSession(options: { title?: string; metadata?: unknown } = {}): Promise<Session> {
    const { title, metadata } = options;
    return this.http.post("/v1/sessions", {
      title,
      metadata: metadata === undefined ? undefined : encode(metadata),
    });
  }

  /** A page of sessions, newest first. */
  sessions(page: PageOptions = {}): Promise<Page<Session>> {
    return this.http.get("/v1/sessions", { query: { ...page } });
  }

  /** A session. */
  session(id: string): Promise<Session> {
    return this.http.get(`/v1/sessions/${id}`);
  }

  /** A page of a session's runs, oldest first. */
  turns(id: string, page: PageOptions = {}): Promise<Page<Turn>> {
    return this.http.get(`/v1/sessions/${id}/turns`, { query: { ...page } });
  }

  /** All queues. */
  queues(): Promise<Page<QueueStatus>> {
    return this.http.get("/v1/queues");
  }

  /** Makes or changes a queue. */
  setQueue(queue: Queue): Promise<QueueStatus> {
    const { name, ...limits } = queueConfig(queue);
    return this.http.put(`/v1/queues/${encodeURIComponent(name)}`, limits);
  }

  /** Starts nothing new from a queue. */
  pauseQueue(name: string): Promise<QueueStatus> {
    return this.http.post(`/v1/queues/${encodeURIComponent(name)}/pause`);
  }

  /** Goes on with a paused queue. */
  resumeQueue(name: string): Promise<QueueStatus> {
    return this.http.post(`/v1/queues/${encodeURIComponent(name)}/resume`);
  }

  /** The workers that are, or were lately, connected. */
  workers(): Promise<Page<WorkerStatus>> {
    return this.http.get("/v1/workers");
  }

  /** Has a worker take no new runs and give back the ones it has. */
  drainWorker(id: string): Promise<WorkerStatus> {
    return this.http.post(`/v1/workers/${id}/drain`);
  }

  /** The workflows, agents and tools that workers have registered. */
  definitions(kind?: DefinitionKind): Promise<Page<DefinitionStatus>> {
    return this.http.get("/v1/definitions", { query: { kind } });
  }

  /** Who decided what, newest first. */
  audit(page: PageOptions = {}): Promise<Page<AuditEntry>> {
    return this.http.get("/v1/audit", { query: { ...page } });
  }

  /** Makes an API key; only this answer holds its secret. */
  createKey(request: KeyRequest): Promise<KeyResponse> {
    return this.http.post("/v1/keys", request);
  }

  /** All API keys, without their secrets. */
  keys(): Promise<Page<ApiKey>> {
    return this.http.get("/v1/keys");
  }

  /** Revokes an API key. */
  revokeKey(id: string): Promise<ApiKey> {
    return this.http.post(`/v1/keys/${id}/revoke`);
  }

  /** How the server is. */
  health(): Promise<Health> {
    return this.http.get("/v1/health");
  }

  /** What the server is. */
  version(): Promise<Version> {
    return this.http.get("/v1/version");
  }
}

function filterQuery(filter: RunFilter): Query {
  const { labels = {}, roots_only, ...plain } = filter;
  return {
    ...plain,
    roots_only: roots_only ? true : undefined,
    label: Object.entries(labels).map(([name, value]) => `${name}:${value}`),
  };
}

export type { EventsOptions, RunEvent };
