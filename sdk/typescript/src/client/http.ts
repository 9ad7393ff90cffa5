/** Calls over HTTP: JSON to the letter, errors with their code and their way out. */

import { ApiError, Unreachable } from "../errors.js";
import { parseJson, writeJson } from "../protocol/json.js";
import type { ErrorBody } from "../protocol/rest.js";
import type { Address } from "./address.js";

/** How long a call may take that is not a long poll. */
const CALL_MS = 30_000;

/** What a query may hold; `undefined` is left out, a list is repeated. */
export type Query = { [name: string]: string | number | boolean | readonly string[] | undefined };

/** How one call is made. */
export interface CallOptions {
  query?: Query;
  body?: unknown;
  timeoutMs?: number;
  signal?: AbortSignal | undefined;
}

export class Http {
  constructor(readonly address: Address) {}

  get<T>(path: string, options: CallOptions = {}): Promise<T> {
    return this.call<T>("GET", path, options);
  }

  post<T>(path: string, body: unknown = {}, signal?: AbortSignal): Promise<T> {
    return this.call<T>("POST", path, { body, signal });
  }

  put<T>(path: string, body: unknown): Promise<T> {
    return this.call<T>("PUT", path, { body });
  }

  private async call<T>(method: string, path: string, options: CallOptions): Promise<T> {
    const { body, timeoutMs = CALL_MS } = options;
    const response = await this.fetch(path + queryText(options.query), {
      method,
      signal: limited(options.signal, timeoutMs),
      ...(body === undefined
        ? {}
        : { body: writeJson(body), headers: { "content-type": "application/json" } }),
    });
    const text = await this.text(response);
    return (text === "" ? null : parseJson(text)) as T;
  }

  /** Sends a request; an answer that is no success is thrown. */
  async fetch(path: string, init: RequestInit): Promise<Response> {
    const headers = new Headers(init.headers);
    headers.set("authorization", `Bearer ${this.address.token}`);
    let response: Response;
    try {
      response = await fetch(this.address.url + path, { ...init, headers });
    } catch (cause) {
      if (init.signal?.aborted && isAbort(init.signal.reason)) throw init.signal.reason;
      throw new Unreachable(this.address.url, cause);
    }
    if (!response.ok) throw refused(response.status, await this.text(response));
    return response;
  }

  private async text(response: Response): Promise<string> {
    try {
      return await response.text();
    } catch (cause) {
      throw new Unreachable(this.address.url, cause);
    }
  }
}

/** True for an abort by the caller; the time limit's own is the server's fault. */
function isAbort(reason: unknown): boolean {
  return !(reason instanceof DOMException && reason.name === "TimeoutError");
}

function limited(signal: AbortSignal | undefined, timeoutMs: number): AbortSignal {
  const limit = AbortSignal.timeout(timeoutMs);
  return signal ? AbortSignal.any([signal, limit]) : limit;
}

function refused(status: number, text: string): ApiError {
  try {
    const { error } = parseJson(text) as { error: ErrorBody };
    if (typeof error.code === "string") return new ApiError(status, error);
  } catch {
    // Not our server's shape: a proxy's page, perhaps.
  }
  const message = `the server answered ${status}: ${text.slice(0, 200)}`;
  return new ApiError(status, { code: "http", message });
}

function queryText(query: Query = {}): string {
  const pairs = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    if (value === undefined) continue;
    if (typeof value === "object") for (const one of value) pairs.append(name, one);
    else pairs.append(name, String(value));
  }
  const text = pairs.toString();
  return text === "" ? "" : `?${text}`;
}
