/**
 * JSON to the letter. Integers beyond 2^53 are read as `bigint` instead of being rounded, text that
 * is JSON already is written as it is, and a `bigint` is written as the integer it is.
 */

/** Text that is JSON already. */
export class RawJson {
  constructor(readonly text: string) {}
}

const LONG_NUMBER = /[0-9]{16}/;

/** Reads JSON; integers that a double does not hold come back as `bigint`. */
export function parseJson(text: string): unknown {
  // Nearly all texts hold no such number, and the engine's own parser is faster than any other.
  return LONG_NUMBER.test(text) ? new ExactParser(text).whole() : JSON.parse(text);
}

/** Writes what the SDK itself has made: plain objects, without `undefined` fields. */
export function writeJson(value: unknown): string {
  switch (typeof value) {
    case "string":
      return JSON.stringify(value);
    case "number":
      return Object.is(value, -0) ? "-0" : String(value);
    case "bigint":
    case "boolean":
      return String(value);
    case "object":
      return value === null ? "null" : writeObject(value);
    default:
      throw new TypeError(`${typeof value} is not JSON`);
  }
}

function writeObject(value: object): string {
  if (value instanceof RawJson) return value.text;
  if (Array.isArray(value)) return `[${value.map(writeJson).join(",")}]`;
  let text = "";
  for (const [name, field] of Object.entries(value)) {
    if (field === undefined) continue;
    text += `${text === "" ? "" : ","}${JSON.stringify(name)}:${writeJson(field)}`;
  }
  return `{${text}}`;
}

const WORDS = new Map<string, [string, unknown]>([
  ["t", ["true", true]],
  ["f", ["false", false]],
  ["n", ["null", null]],
]);
// What stands between the quotes is checked by whoever reads it.
const STRING = /"(?:[^"\\]|\\.)*"/y;
const NUMBER = /-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?/y;
const SPACE = /[ \t\n\r]*/y;

/** A plain recursive parser that keeps integers exact. */
class ExactParser {
  private at = 0;

  constructor(private readonly text: string) {}

  whole(): unknown {
    const value = this.value();
    this.match(SPACE);
    if (this.at < this.text.length) this.fail();
    return value;
  }

  private fail(): never {
    throw new SyntaxError(`unexpected JSON at position ${this.at}`);
  }

  private match(pattern: RegExp): RegExpExecArray | null {
    pattern.lastIndex = this.at;
    const found = pattern.exec(this.text);
    if (found) this.at = pattern.lastIndex;
    return found;
  }

  private peek(): string {
    this.match(SPACE);
    return this.text[this.at] ?? "";
  }

  private take(character: string): boolean {
    if (this.peek() !== character) return false;
    this.at += 1;
    return true;
  }

  private value(): unknown {
    const first = this.peek();
    if (first === '"') return this.string();
    if (first === "{") return this.object();
    if (first === "[") return this.array();
    const word = WORDS.get(first);
    if (word && this.text.startsWith(word[0], this.at)) {
      this.at += word[0].length;
      return word[1];
    }
    return this.number();
  }

  private string(): string {
    const found = this.match(STRING);
    if (!found) this.fail();
    return JSON.parse(found[0]) as string;
  }

  private number(): number | bigint {
    const found = this.match(NUMBER);
    if (!found) this.fail();
    const number = Number(found[0]);
    const isInteger = found[1] === undefined && found[2] === undefined;
    return isInteger && !Number.isSafeInteger(number) ? BigInt(found[0]) : number;
  }

  private array(): unknown[] {
    this.at += 1;
    const items: unknown[] = [];
    if (this.take("]")) return items;
    do items.push(this.value());
    while (this.take(","));
    if (!this.take("]")) this.fail();
    return items;
  }

  private object(): object {
    this.at += 1;
    const fields: Record<string, unknown> = {};
    if (this.take("}")) return fields;
    do {
      this.peek();
      const name = this.string();
      if (!this.take(":")) this.fail();
      setField(fields, name, this.value());
    } while (this.take(","));
    if (!this.take("}")) this.fail();
    return fields;
  }
}

/** Sets an own field whatever its name: `__proto__` is a name like any other. */
export function setField(object: object, name: string, value: unknown): void {
  if (name === "__proto__") {
    const field = { value, writable: true, enumerable: true, configurable: true };
    Object.defineProperty(object, name, field);
  } else {
    (object as Record<string, unknown>)[name] = value;
  }
}
