/** Ids: a printed prefix and 128 bits in Crockford base32, time ordered. */

import { createHash, randomBytes } from "node:crypto";

const ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz";
const TEXT_LENGTH = 26;

function encode(bytes: Uint8Array): string {
  let bits = 0n;
  for (const byte of bytes) bits = (bits << 8n) | BigInt(byte);
  let text = "";
  for (let i = TEXT_LENGTH - 1; i >= 0; i--)
    text += ALPHABET[Number((bits >> BigInt(5 * i)) & 31n)];
  return text;
}

/** The 16 bytes of an id of any kind. */
export function idBytes(id: string): Uint8Array {
  const text = id.slice(id.indexOf("_") + 1);
  let bits = 0n;
  for (const character of text)
    bits = (bits << 5n) | BigInt(Math.max(0, ALPHABET.indexOf(character)));
  const bytes = new Uint8Array(16);
  for (let i = 15; i >= 0; i--) {
    bytes[i] = Number(bits & 255n);
    bits >>= 8n;
  }
  return bytes;
}

/** An id that derives from another and a text: the same two give the same id always. */
export function derivedId(prefix: string, from: string, text: string): string {
  const base = idBytes(from);
  const digest = createHash("sha256").update(prefix).update(base).update(text).digest();
  const bytes = new Uint8Array(16);
  bytes.set(base.subarray(0, 6));
  bytes.set(digest.subarray(0, 10), 6);
  return `${prefix}_${encode(bytes)}`;
}

/** A new id, of this moment. */
export function newId(prefix: string, nowMs: number = Date.now()): string {
  const bytes = new Uint8Array(16);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(nowMs) << 16n);
  bytes.set(randomBytes(10), 6);
  return `${prefix}_${encode(bytes)}`;
}
