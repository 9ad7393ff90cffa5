/** When code that awaits nothing foreign has gone as far as it goes. */

/** Calls back once the queue of microtasks is empty: whatever a settled promise set going is done. */
export function afterMicrotasks(callback: () => void): void {
  // A tick that is scheduled by a microtask comes when no microtask is left.
  queueMicrotask(() => process.nextTick(callback));
}
