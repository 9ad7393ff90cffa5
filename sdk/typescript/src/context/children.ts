/** Child runs: calls, handles and detached starts. */

import type { Definition } from "../definition.js";
import { type Duration, toMs } from "../duration.js";
import { TerminalError } from "../errors.js";
import type { RunOptions } from "../protocol/frames.js";
import { derivedId } from "../protocol/id.js";
import { BLOB_BYTES_MAX } from "../protocol/limits.js";
import { encode } from "../protocol/value.js";
import { fingerprint } from "../replay/derive.js";
import type { FingerprintPolicy, What } from "../replay/request.js";
import type { ScopeId } from "../replay/scope.js";
import type { Execution } from "./execution.js";
import { errorOf } from "./failure.js";
import { type Leaf, readValue } from "./leaves.js";
import { Pending } from "./pending.js";

/** How a child run is to run. */
export interface CallOptions {
  /** The step's name; the workflow's by default. */
  name?: string;
  /** The name under which an earlier build recorded it. */
  was?: string;
  /** What to do if the recorded input was another; by default the run blocks. */
  onMismatch?: FingerprintPolicy;
  queue?: string;
  concurrencyKey?: string;
  /** Higher goes first; 0 by default. */
  priority?: number;
  labels?: { readonly [name: string]: string };
  /** How long it may take, not counting the time spent waiting for a person. */
  timeout?: Duration;
  /** The conversation it belongs to. */
  session?: string;
  /** Must run near the holder of this key, or had better. */
  placement?: { readonly key: string; readonly require?: boolean };
}

/** The wire's form of how a run is to run. */
export function runOptions(options: CallOptions): RunOptions {
  const written: RunOptions = {};
  if (options.queue !== undefined) written.queue = options.queue;
  if (options.concurrencyKey !== undefined) written.concurrency_key = options.concurrencyKey;
  if (options.priority !== undefined) written.priority = options.priority;
  if (options.labels) written.labels = { ...options.labels };
  if (options.timeout !== undefined) written.timeout_ms = toMs(options.timeout);
  if (options.session !== undefined) written.session = options.session;
  if (options.placement) written.placement = { ...options.placement };
  return written;
}

/** What names a workflow, agent or tool: its definition, or its name. */
export type Callable<I = never, O = unknown> = Definition<I, O> | string;

const nameOf = (callable: { readonly id: string } | string): string =>
  typeof callable === "string" ? callable : callable.id;

function childWhat(
  callable: { readonly id: string } | string,
  input: unknown,
  options: CallOptions,
  how: { handle: boolean; detached: boolean },
): What {
  const written = encode(input === undefined ? null : input);
  const bytes = Buffer.byteLength(written.text);
  if (bytes > BLOB_BYTES_MAX) {
    const message = `an input of ${bytes} bytes is larger than the limit of ${BLOB_BYTES_MAX} bytes`;
    throw new TerminalError(`${message}; keep it elsewhere and hand over where`, {
      code: "value_too_large",
    });
  }
  const child = {
    workflow: nameOf(callable),
    input: { v: written },
    options: runOptions(options),
    detached: how.detached,
  };
  return {
    type: "open",
    spec: {
      open: { child },
      handle: how.handle,
      fingerprint: fingerprint(written),
      onMismatch: options.onMismatch ?? "block",
    },
  };
}

export function callLeaf<O>(
  callable: { readonly id: string } | string,
  input: unknown,
  options: CallOptions,
): Leaf<O> {
  const what = childWhat(callable, input, options, { handle: false, detached: false });
  return {
    name: options.name ?? nameOf(callable),
    was: options.was,
    what: () => what,
    read: (outcome) => readValue(outcome) as O,
  };
}

/** A child run that goes on while its parent does other things. */
export class Handle<O> {
  constructor(
    /** The child run. */
    readonly runId: string,
    /** The journal's key under which it was opened. */
    readonly key: string,
    /** Its output; throws what the child failed with. */
    readonly output: Pending<O>,
  ) {}
}

interface Opened {
  runId: string;
  key: string;
  request: number;
}

/** Opens a child; settles once its start is durable. */
async function openChild(
  execution: Execution,
  scope: ScopeId,
  leaf: { name: string; was: string | undefined; what: What },
): Promise<Opened> {
  const { name, was, what } = leaf;
  const id = execution.ask({ scope, name, was, direct: false, what });
  const key = execution.keyOf(id);
  const request = await execution.opened(id);
  const cut = execution.machine.requests.get(request);
  if (cut?.outcome && cut.outcome.type === "cancelled" && !cut.opened) {
    execution.machine.requests.delete(request);
    throw errorOf(cut.outcome, key);
  }
  return { runId: derivedId("run", execution.machine.start.run, key), key, request };
}

export function spawnPending<O>(
  execution: Execution,
  scope: ScopeId,
  callable: { readonly id: string } | string,
  input: unknown,
  options: CallOptions,
): Pending<Handle<O>> {
  const what = childWhat(callable, input, options, { handle: true, detached: false });
  const name = options.name ?? nameOf(callable);
  const begin = async (inScope: ScopeId): Promise<Handle<O>> => {
    const opened = await openChild(execution, inScope, { name, was: options.was, what });
    return new Handle(opened.runId, opened.key, outputOf<O>(execution, inScope, opened));
  };
  return new Pending(execution, { label: name, scope, begin });
}

/** The output of a child that runs already. It need not be awaited. */
function outputOf<O>(execution: Execution, scope: ScopeId, opened: Opened): Pending<O> {
  const begin = async (inScope: ScopeId, isItem: boolean): Promise<O> => {
    const request = execution.machine.requests.get(opened.request);
    if (request) {
      request.awaitedIn = inScope;
      request.direct = isItem;
    }
    const outcome = await execution.outcome(opened.request);
    if (outcome.type !== "value") throw errorOf(outcome, opened.key);
    return readValue(outcome) as O;
  };
  const key = () => opened.key;
  const output = new Pending<O>(execution, { label: opened.key, scope, begin, key });
  execution.begun(output);
  return output;
}

export function startPending(
  execution: Execution,
  scope: ScopeId,
  callable: { readonly id: string } | string,
  input: unknown,
  options: CallOptions,
): Pending<string> {
  const what = childWhat(callable, input, options, { handle: true, detached: true });
  const name = options.name ?? nameOf(callable);
  const begin = async (inScope: ScopeId): Promise<string> => {
    const opened = await openChild(execution, inScope, { name, was: options.was, what });
    execution.machine.requests.delete(opened.request);
    return opened.runId;
  };
  return new Pending(execution, { label: name, scope, begin });
}
