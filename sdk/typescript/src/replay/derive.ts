/** What follows from the run alone: idempotency keys, fingerprints, chance. */

import { createHash } from "node:crypto";
import { idBytes } from "../protocol/id.js";
import { parseJson, type RawJson } from "../protocol/json.js";

/** The key handed to a step's effect: the same over attempts, workers and machines. */
export function idempotencyKey(run: string, key: string, generation: number): string {
  const hash = createHash("sha256").update("polos idempotency key\0");
  hash.update(idBytes(run)).update(key);
  if (generation > 0) {
    const count = Buffer.alloc(4);
    count.writeUInt32BE(generation);
    hash.update("\0").update(count);
  }
  return `polos_${hash.digest("hex").slice(0, 32)}`;
}

/** 32 bytes that derive from the seed, a scope, a purpose and a counter. */
export function chance(seed: string, scope: string, purpose: string, counter: number): Buffer {
  const hash = createHash("sha256");
  const eight = Buffer.alloc(8);
  for (const part of [seed, scope, purpose]) {
    const bytes = Buffer.from(part);
    eight.writeBigUInt64BE(BigInt(bytes.length));
    hash.update(eight).update(bytes);
  }
  eight.writeBigUInt64BE(BigInt(counter));
  return hash.update(eight).digest();
}

/** The first 53 bits as a fraction in 0..1. */
export function unit(bytes: Buffer): number {
  return Number(bytes.readBigUInt64BE() >> 11n) / 2 ** 53;
}

/** A version 4 UUID made of derived bytes. */
export function uuid(bytes: Buffer): string {
  const id = Buffer.from(bytes.subarray(0, 16));
  id[6] = ((id[6] ?? 0) & 0x0f) | 0x40;
  id[8] = ((id[8] ?? 0) & 0x3f) | 0x80;
  const text = id.toString("hex");
  return [0, 8, 12, 16, 20].map((from, i, all) => text.slice(from, all[i + 1])).join("-");
}

/** The SHA-256 of a text, in hex. */
export function sha256(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}

/** The hash by which replay compares arguments: of their canonical JSON. */
export function fingerprint(json: RawJson): string {
  return sha256(canonical(parseJson(json.text))).slice(0, 32);
}

/** JSON with sorted keys and no white space: equal values give equal texts. */
export function canonical(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonical).join(",")}]`;
  if (typeof value === "bigint") return String(value);
  if (typeof value !== "object" || value === null) return JSON.stringify(value);
  const fields = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  const written = fields.map(([name, field]) => `${JSON.stringify(name)}:${canonical(field)}`);
  return `{${written.join(",")}}`;
}
