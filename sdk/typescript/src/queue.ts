/** Queues: how many runs may go at once, in all and per concurrency key. */

import type { QueueConfig } from "./protocol/frames.js";

/** A queue as the code declares it. */
export interface Queue {
  /** Its name, unique in the namespace. */
  readonly name: string;
  /** How many runs may run at once; no limit if absent. */
  readonly concurrency?: number;
  /** How many runs of one concurrency key may run at once; no limit if absent. */
  readonly concurrencyPerKey?: number;
  /** True if runs keep their slot while they wait. */
  readonly hold?: boolean;
}

/** The wire's form of a queue. */
export function queueConfig(queue: Queue): QueueConfig {
  const config: QueueConfig = { name: queue.name };
  if (queue.concurrency !== undefined) config.concurrency = queue.concurrency;
  if (queue.concurrencyPerKey !== undefined) config.concurrency_per_key = queue.concurrencyPerKey;
  if (queue.hold) config.hold = true;
  return config;
}
