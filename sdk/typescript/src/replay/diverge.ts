/** Where code and journal disagree: what is said, and whether the run may go on. */

import type { Marker } from "../protocol/details.js";
import type { Blocked, Difference, StepKey } from "../protocol/frames.js";
import { childKey, isWithin } from "../protocol/key.js";
import { block } from "./ending.js";
import { describeSlot, isGrave, removedNote } from "./journal.js";
import type { Machine } from "./machine.js";
import {
  type Ask,
  describe,
  type FingerprintPolicy,
  isChild,
  isOnce,
  type Request,
  type RequestId,
} from "./request.js";
import { record, submit } from "./send.js";

/** How many lines of each side a difference shows. */
const LINES_MAX = 40;

const CODE_HINT =
  'declare what changed with `was: "old name"`, `ctx.removed("name")` or `ctx.patched("id")`, or ' +
  "bring back the build that recorded the run, then `polos runs resume RUN`; " +
  "`polos runs resume RUN --accept` goes on as it is";

/** True if what is recorded under the key was written by this very build. */
export function isOwn(m: Machine, key: StepKey): boolean {
  return m.journal.slots.get(key)?.build === m.settings.build;
}

export function isAccepted(m: Machine, key: StepKey): boolean {
  return m.start.accepted?.includes(key) ?? false;
}

/**
 * Requests that the journal does not know, while recorded ones are unasked: insertions by a newer
 * build. True if they may go on.
 */
export function admitInsertions(m: Machine, fresh: RequestId[]): boolean {
  dropLostUnasked(m);
  const unasked = [...m.journal.unasked.values()];
  if (unasked.length === 0) return true;
  const requests = fresh.map((id) => m.requests.get(id)).filter((r) => r !== undefined);
  const ownIsUnasked = unasked.some((key) => isOwn(m, key) && !isAccepted(m, key));
  if (ownIsUnasked && !requests.every((r) => isAccepted(m, r.key))) {
    blockUnasked(m);
    return false;
  }
  for (const request of requests) {
    if (request.stage.at !== "fresh" || m.journal.slots.has(request.key)) continue;
    if ((isOnce(request) || isChild(request)) && !isAccepted(m, request.key)) {
      const what = describe(request);
      blockDifference(m, request.key, `${what} is asked for before steps of another build`);
      return false;
    }
    request.inserted = true;
  }
  return true;
}

/** Recorded requests that the code has not made, in the journal's order. */
export function unaskedKeys(m: Machine): StepKey[] {
  dropLostUnasked(m);
  return [...m.journal.unasked.values()];
}

function dropLostUnasked(m: Machine): void {
  for (const [seq, key] of m.journal.unasked) {
    const slot = m.journal.slots.get(key);
    if (!slot || slot.lost) m.journal.unasked.delete(seq);
  }
}

/** At park or end: recorded steps that the code never asked for. True if they may be left. */
export function admitOrphans(m: Machine): boolean {
  dropLostUnasked(m);
  for (const key of [...m.journal.unasked.values()]) {
    const slot = m.journal.slots.get(key);
    if (!slot || isAccepted(m, key) || m.journal.noted.has(key)) continue;
    if (isOwn(m, key) && !m.journal.lost.has(key)) {
      blockUnasked(m);
      return false;
    }
    if (isGrave(slot)) {
      const build = m.settings.build;
      const message = `\`${key}\` is recorded, may have acted, and was never asked for by build \`${build}\``;
      block(m, { ...disagreement(m, key, message), code: "orphaned_step" });
      return false;
    }
    m.warn(`recorded step \`${key}\` was never asked for`);
    m.journal.noted.add(key);
    submitMarker(m, key, { orphaned: key });
  }
  return true;
}

export function submitMarker(m: Machine, key: StepKey, marker: Marker): void {
  const declared = record("marker", key, m.handed);
  declared.detail = marker;
  submit(m, declared, undefined);
}

/** Recorded steps of this name in this scope are not asked for any more. True if that is news. */
export function dropRemoved(m: Machine, scope: StepKey, name: string): boolean {
  const first = childKey(scope, name, 1);
  const isRemoved = (key: StepKey) => isWithin(key, first) || key.startsWith(`${first}#`);
  let dropped = false;
  for (const [seq, key] of m.journal.unasked) {
    if (!isRemoved(key)) continue;
    m.journal.unasked.delete(seq);
    dropped = true;
  }
  for (const [key, slot] of m.journal.slots) {
    if (slot.request === undefined && isRemoved(key)) slot.lost = true;
  }
  m.journal.queue.retain((item) => !isRemoved(item.key));
  const note = removedNote(scope, name);
  if (!dropped || m.journal.noted.has(note)) return false;
  m.journal.noted.add(note);
  return true;
}

export function blockUnasked(m: Machine): void {
  const [key] = m.journal.unasked.values();
  if (key === undefined) return;
  const build = m.settings.build;
  const message = `the journal holds \`${key}\`, which build \`${build}\` itself recorded and now does not ask for`;
  blockDifference(m, key, message);
}

function blockDifference(m: Machine, key: StepKey, message: string): void {
  block(m, disagreement(m, key, message));
}

function disagreement(m: Machine, key: StepKey, message: string): Blocked {
  return {
    code: "nondeterminism",
    message,
    hint: CODE_HINT,
    step: key,
    difference: difference(m),
  };
}

export function blockOtherSort(m: Machine, request: Request, recorded: string): void {
  const { key } = request;
  if (isAccepted(m, key)) return;
  block(m, {
    code: "nondeterminism",
    message: `\`${key}\` is recorded as another thing than is asked for`,
    hint: CODE_HINT,
    step: key,
    difference: { recorded: [recorded], asked: [describe(request)] },
  });
}

export function mismatched(
  m: Machine,
  request: Request,
  policy: FingerprintPolicy,
  [recorded, asked]: [string, string],
): void {
  const { key } = request;
  if (policy === "accept" || isAccepted(m, key)) return;
  if (policy === "warn") {
    m.warn(`\`${key}\` was asked for with other arguments than recorded`);
    return;
  }
  const line = (print: string) => `${describe(request)} arguments ${print}`;
  block(m, {
    code: "fingerprint_mismatch",
    message: `\`${key}\` was recorded with other arguments than it is now asked for with`,
    hint:
      "bring back the arguments, rename the step, or go on with the recorded outcome: " +
      "`polos runs resume RUN --accept`",
    step: key,
    difference: { recorded: [line(recorded)], asked: [line(asked)] },
  });
}

export function blockAmbiguous(m: Machine, ask: Ask, key: StepKey): void {
  block(m, {
    code: "ambiguous_step_key",
    message: `a second \`${ask.name}\` was opened in one scope while the first is open`,
    hint:
      "give each its own name, or put each into `ctx.all`, `ctx.map` or `ctx.branch` and use the " +
      "context that the branch is given; then `polos runs resume RUN`",
    step: key,
  });
}

function difference(m: Machine): Difference {
  const recorded = [...m.journal.unasked.values()].slice(0, LINES_MAX);
  const open = [...m.requests.values()].filter((request) => !request.outcome);
  return {
    recorded: recorded.flatMap((key) => {
      const slot = m.journal.slots.get(key);
      return slot ? [describeSlot(slot, key)] : [];
    }),
    asked: open.slice(0, LINES_MAX).map(describe),
  };
}
