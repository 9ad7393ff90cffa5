/** Requests with a time of their own, the earliest first. */

import type { RequestId } from "./request.js";

export interface Due {
  at: number;
  id: RequestId;
}

const isBefore = (a: Due, b: Due): boolean => a.at < b.at || (a.at === b.at && a.id < b.id);

/** A binary heap by time, then by request. */
export class Timers {
  private readonly heap: Due[] = [];

  first(): Due | undefined {
    return this.heap[0];
  }

  add(due: Due): void {
    const { heap } = this;
    let at = heap.push(due) - 1;
    while (at > 0) {
      const above = (at - 1) >> 1;
      const parent = heap[above];
      if (!parent || !isBefore(due, parent)) break;
      heap[at] = parent;
      at = above;
    }
    heap[at] = due;
  }

  pop(): Due | undefined {
    const { heap } = this;
    const first = heap[0];
    const last = heap.pop();
    if (!first || !last || heap.length === 0) return first;
    let at = 0;
    for (;;) {
      let below = 2 * at + 1;
      const [left, right] = [heap[below], heap[below + 1]];
      if (!left) break;
      if (right && isBefore(right, left)) below += 1;
      const smaller = heap[below];
      if (!smaller || !isBefore(smaller, last)) break;
      heap[at] = smaller;
      at = below;
    }
    heap[at] = last;
    return first;
  }
}
