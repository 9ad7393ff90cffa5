/**
 * Values in and out of the journal. What JSON holds is written as it is. What it does not hold but
 * comes back unchanged is written as an object with one `$` field: `Date`, `bigint`, `Uint8Array`,
 * `Map`, `Set`, `undefined` inside an array. Everything else is refused, naming its place.
 */

import { PolosError } from "../errors.js";
import type { Value } from "./frames.js";
import { parseJson, RawJson, setField } from "./json.js";
import { VALUE_DEPTH_MAX } from "./limits.js";

/** Says which part of a value cannot be recorded, and why. */
export class Unrecordable extends Error {
  override readonly name = "Unrecordable";

  constructor(
    readonly path: string,
    readonly reason: string,
  ) {
    super(`\`${path}\` cannot be recorded: ${reason}`);
  }
}

/** A value as the journal takes it. */
export function encode(value: unknown): RawJson {
  return new RawJson(new Writer().write(value, "", 0));
}

/** An envelope for a value; none for `undefined`. */
export function toValue(value: unknown): Value {
  return value === undefined ? { v: null } : { v: encode(value) };
}

/** The JSON inside an envelope, as text. */
export function textOf(value: Value): string {
  return value.v instanceof RawJson ? value.v.text : encode(value.v).text;
}

/** What an inline envelope holds, as the code had it. */
export function fromValue(value: Value | undefined): unknown {
  if (value === undefined) return undefined;
  if (value.codec !== undefined) {
    throw new PolosError(`a value is written in the codec \`${value.codec}\``, {
      code: "value",
      hint: "this SDK reads plain JSON; run the workflow where its codec is",
    });
  }
  return decode(value.v instanceof RawJson ? parseJson(value.v.text) : value.v);
}

/** Reads a value that was parsed as JSON: the `$` objects become what they stand for. */
export function decode(json: unknown): unknown {
  if (typeof json !== "object" || json === null) return json;
  if (Array.isArray(json)) {
    for (let i = 0; i < json.length; i++) json[i] = decode(json[i]);
    return json;
  }
  const names = Object.keys(json);
  const [first] = names;
  if (names.length === 1 && first?.startsWith("$")) {
    return untag(first, (json as Record<string, unknown>)[first], json);
  }
  for (const name of names) {
    const field = (json as Record<string, unknown>)[name];
    if (typeof field === "object" && field !== null) setField(json, name, decode(field));
  }
  return json;
}

function untag(tag: string, inner: unknown, whole: object): unknown {
  switch (tag) {
    case "$date":
      return new Date(inner as string);
    case "$bigint":
      return BigInt(inner as string);
    case "$bytes":
      return new Uint8Array(Buffer.from(inner as string, "base64"));
    case "$map":
      return new Map((decode(inner) as [unknown, unknown][]) ?? []);
    case "$set":
      return new Set((decode(inner) as unknown[]) ?? []);
    case "$undefined":
      return undefined;
    case "$object":
      return decodeFields(inner as Record<string, unknown>);
    default:
      return decodeFields(whole as Record<string, unknown>);
  }
}

function decodeFields(object: Record<string, unknown>): object {
  for (const name of Object.keys(object)) setField(object, name, decode(object[name]));
  return object;
}

const TAGS = new Set(["$date", "$bigint", "$bytes", "$map", "$set", "$undefined", "$object"]);

class Writer {
  private readonly open = new Set<object>();

  write(value: unknown, path: string, depth: number): string {
    switch (typeof value) {
      case "string":
        return this.string(value, path);
      case "number":
        return this.number(value, path);
      case "boolean":
        return value ? "true" : "false";
      case "bigint":
        return isUnsafe(value) ? String(value) : `{"$bigint":"${value}"}`;
      case "undefined":
        return '{"$undefined":true}';
      case "object":
        return value === null ? "null" : this.object(value, path, depth + 1);
      default:
        throw refused(path, `a ${typeof value} is no data`);
    }
  }

  private string(text: string, path: string): string {
    if (!text.isWellFormed()) throw refused(path, "the text holds half of a surrogate pair");
    return JSON.stringify(text);
  }

  private number(number: number, path: string): string {
    if (!Number.isFinite(number)) throw refused(path, `JSON has no number \`${number}\``);
    if (Object.is(number, -0)) return "-0";
    // A whole number without an exponent would be read as a `bigint` where it is this large.
    const isLarge = Number.isInteger(number) && !Number.isSafeInteger(number);
    return isLarge ? number.toExponential() : String(number);
  }

  private object(value: object, path: string, depth: number): string {
    if (depth > VALUE_DEPTH_MAX) throw refused(path, `it nests deeper than ${VALUE_DEPTH_MAX}`);
    if (this.open.has(value)) throw refused(path, "it holds itself");
    this.open.add(value);
    const text = Array.isArray(value)
      ? this.array(value, path, depth)
      : (this.special(value, path, depth) ?? this.plain(value, path, depth));
    this.open.delete(value);
    return text;
  }

  private array(items: readonly unknown[], path: string, depth: number): string {
    let text = "[";
    // By index: a hole is written as the `undefined` that it reads as.
    for (let i = 0; i < items.length; i++) {
      text += `${i === 0 ? "" : ","}${this.write(items[i], `${path}[${i}]`, depth)}`;
    }
    return `${text}]`;
  }

  private special(value: object, path: string, depth: number): string | undefined {
    if (value instanceof Date) {
      if (Number.isNaN(value.getTime())) throw refused(path, "it is no valid date");
      return `{"$date":"${value.toISOString()}"}`;
    }
    if (value instanceof Uint8Array) {
      const bytes = Buffer.from(value.buffer, value.byteOffset, value.byteLength);
      return `{"$bytes":"${bytes.toString("base64")}"}`;
    }
    if (value instanceof Map) return `{"$map":${this.array([...value], path, depth + 1)}}`;
    if (value instanceof Set) return `{"$set":${this.array([...value], path, depth + 1)}}`;
    return undefined;
  }

  private plain(value: object, path: string, depth: number): string {
    const prototype: unknown = Object.getPrototypeOf(value);
    if (prototype !== null && prototype !== Object.prototype && !isForeignPlain(prototype)) {
      throw refused(path, `it is a ${className(value)}; record a plain object with its data`);
    }
    let text = "";
    let count = 0;
    let last = "";
    for (const [name, field] of Object.entries(value)) {
      if (field === undefined) continue;
      count += 1;
      last = name;
      const inner = path === "" ? name : `${path}.${name}`;
      text += `${text === "" ? "" : ","}${this.string(name, inner)}:${this.write(field, inner, depth)}`;
    }
    return count === 1 && TAGS.has(last) ? `{"$object":{${text}}}` : `{${text}}`;
  }
}

function isUnsafe(value: bigint): boolean {
  return value > BigInt(Number.MAX_SAFE_INTEGER) || value < BigInt(Number.MIN_SAFE_INTEGER);
}

/** `Object.prototype` of another realm: what a `vm` or a test runner makes. */
function isForeignPlain(prototype: unknown): boolean {
  const parent: unknown = Object.getPrototypeOf(prototype);
  return parent === null && Object.hasOwn(prototype as object, "hasOwnProperty");
}

function className(value: object): string {
  const name: unknown = value.constructor?.name;
  return typeof name === "string" && name !== "" ? `\`${name}\`` : "class instance";
}

function refused(path: string, reason: string): Unrecordable {
  return new Unrecordable(path === "" ? "(the value)" : path, reason);
}
