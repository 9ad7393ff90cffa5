/** A run, from outside. */

import type { Client, EventsOptions, RunEvent } from "./client.js";
import type { RunDetail, VerbResponse } from "./protocol/rest.js";

/** A run that was started: wait for its output, follow its events, stop it. */
export class Run<Output = unknown> {
  constructor(
    private readonly client: Client,
    readonly id: string,
  ) {}

  /** Waits for the output; throws a `RunFailed` if the run does not complete. */
  output(signal?: AbortSignal): Promise<Output> {
    return this.client.output<Output>(this.id, signal);
  }

  /** What happens in the run, as it happens, from its beginning or after a position. */
  events(options: EventsOptions = {}): AsyncGenerator<RunEvent, void, undefined> {
    return this.client.events(this.id, options);
  }

  /** The run as it stands, whole but for its journal. */
  get(): Promise<RunDetail> {
    return this.client.get(this.id);
  }

  /** Cancels it: its code may clean up. */
  cancel(reason?: string): Promise<VerbResponse> {
    return this.client.cancel(this.id, reason);
  }
}
