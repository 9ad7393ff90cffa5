/** Spans of time, as people write them. */

import { Misuse } from "./errors.js";

const UNITS = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000, w: 604_800_000 } as const;

/** Milliseconds, or a number with a unit: `"250ms"`, `"30s"`, `"5m"`, `"24h"`, `"7d"`, `"2w"`. */
export type Duration = number | `${number}${keyof typeof UNITS}`;

const FORM = /^(\d+(?:\.\d+)?)(ms|s|m|h|d|w)$/;

/** A duration in whole milliseconds. */
export function toMs(duration: Duration): number {
  const ms = typeof duration === "number" ? duration : fromText(duration);
  if (!Number.isFinite(ms) || ms < 0) {
    const hint = 'give milliseconds, or a number with a unit, such as "30s" or "24h"';
    throw new Misuse(`\`${duration}\` is no duration`, hint);
  }
  return Math.ceil(ms);
}

function fromText(text: string): number {
  const found = FORM.exec(text);
  const unit = found?.[2] as keyof typeof UNITS | undefined;
  return unit ? Number(found?.[1]) * UNITS[unit] : Number.NaN;
}
