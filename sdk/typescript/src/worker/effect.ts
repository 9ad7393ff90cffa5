/** Running the user's own code in a step: whatever it throws is an outcome. */

import type { Effect } from "../context/execution.js";
import { faultOf } from "../context/failure.js";
import { isVerdict } from "../context/leaves.js";
import { encode } from "../protocol/value.js";
import type { EffectKind, EffectOutcome, Settlement } from "../replay/request.js";
import type { StepContext } from "../step.js";

/** Carries an attempt or a verification out. */
export async function carryOut(
  kind: EffectKind,
  effect: Effect,
  step: StepContext,
): Promise<EffectOutcome> {
  if (kind === "verify") return { type: "verified", verdict: await verify(effect, step) };
  try {
    const value = await effect.attempt(step);
    return { type: "value", value: value === undefined ? undefined : encode(value) };
  } catch (thrown) {
    return { type: "failed", fault: faultOf(thrown) };
  }
}

async function verify(effect: Effect, step: StepContext): Promise<Settlement> {
  try {
    const answer = await effect.verify?.(step);
    if (!isVerdict(answer)) return { type: "unknown" };
    if (answer.verdict !== "done") return { type: answer.verdict };
    const { value } = answer;
    return { type: "done", value: value === undefined ? undefined : encode(value) };
  } catch {
    return { type: "unknown" };
  }
}
