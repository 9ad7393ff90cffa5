import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { parseJson, RawJson, writeJson } from "../../src/protocol/json.js";
import { encode, fromValue, Unrecordable } from "../../src/protocol/value.js";

const back = (value: unknown) => fromValue({ v: encode(value) });

describe("values come back as they were", () => {
  const kept: Array<[string, unknown]> = [
    ["falsy ones", [0, "", false, null]],
    ["a negative zero", -0],
    ["unicode", "é 😀 \u2028 \u0000"],
    ["odd keys", JSON.parse('{"__proto__": 1, "": 2, "constructor": 3, "a.b": {"c[0]": 4}}')],
    ["integers up to 2^53", [Number.MAX_SAFE_INTEGER, Number.MIN_SAFE_INTEGER]],
    ["integers beyond 2^53, as bigint", [2n ** 53n + 1n, -(2n ** 63n), 10n ** 30n]],
    ["a small bigint", 5n],
    ["large numbers that are no bigint", [1e20, 2 ** 60, 1.5e300, 5e-324]],
    ["dates", { at: new Date(1_700_000_000_123) }],
    ["bytes", new Uint8Array([0, 255, 7])],
    ["maps and sets", new Map<unknown, unknown>([[{ a: 1n }, new Set([1, "1"])]])],
    ["undefined in a list", [undefined, 1]],
    ["objects that look like the SDK's own", { $date: "not one", b: { $bigint: 5 } }],
    ["an object with one such field", { $date: "2020-01-01" }],
    ["nested objects with one such field", { $object: { $map: [] } }],
  ];
  test.each(kept)("%s", (_name, value) => {
    expect(back(value)).toStrictEqual(value);
  });

  test("any JSON", () => {
    fc.assert(
      fc.property(fc.jsonValue({ noUnicodeString: false }), (value) => {
        fc.pre(JSON.stringify(value).isWellFormed());
        expect(back(value)).toStrictEqual(value);
      }),
    );
  });

  test("without the fields that are undefined", () => {
    expect(back({ a: undefined, b: 1 })).toStrictEqual({ b: 1 });
  });
});

describe("what cannot be recorded is refused, and its place named", () => {
  class Money {
    constructor(readonly cents: number) {}
  }
  const circle: { me?: unknown } = {};
  circle.me = { deeper: circle };
  let deep: unknown = 1;
  for (let i = 0; i < 101; i++) deep = [deep];
  const refused: Array<[string, unknown, string]> = [
    ["NaN", { a: [1, Number.NaN] }, "a[1]"],
    ["infinity", Number.NEGATIVE_INFINITY, "(the value)"],
    ["a function", { a: { b: () => 1 } }, "a.b"],
    ["a symbol", [Symbol("s")], "[0]"],
    ["a class instance", { total: new Money(5) }, "total"],
    ["an error", { e: new Error("no") }, "e"],
    ["half of a surrogate pair", { a: "\ud800" }, "a"],
    ["half of one in a key", { "\udc00": 1 }, "\udc00"],
    ["a value in itself", circle, "me.deeper"],
    ["an invalid date", [new Date(Number.NaN)], "[0]"],
    ["what nests too deep", deep, `${"[0]".repeat(100)}`],
  ];
  test.each(refused)("%s", (_name, value, path) => {
    expect(() => encode(value)).toThrow(Unrecordable);
    try {
      encode(value);
    } catch (error) {
      expect((error as Unrecordable).path).toBe(path);
    }
  });
});

describe("JSON to the letter", () => {
  test("integers that a double does not hold are read as bigint, whatever stands around", () => {
    const text =
      '{"a": [9007199254740993, -12345678901234567890, 1.0, 1e20], "b\\u00e9": "12345678901234567890"}';
    expect(parseJson(text)).toStrictEqual({
      a: [9007199254740993n, -12345678901234567890n, 1, 1e20],
      bé: "12345678901234567890",
    });
  });

  test("agrees with the engine's own parser wherever no such number is", () => {
    fc.assert(
      fc.property(fc.json(), fc.boolean(), (json, pretty) => {
        const text = pretty ? JSON.stringify(JSON.parse(json), null, 2) : json;
        fc.pre(!/[0-9]{16}/.test(text));
        const forced = `[${text}, 90071992547409930]`;
        expect(parseJson(forced)).toStrictEqual([JSON.parse(text), 90071992547409930n]);
      }),
    );
  });

  test.each(["", "[1,]", "{'a':1}", "01", "[12345678901234567890", "nul", '"\n"', "1 2"])(
    "refuses %j",
    (text) => {
      expect(() => parseJson(`${text}`)).toThrow();
      expect(() => parseJson(`[12345678901234567890, ${text}`)).toThrow();
    },
  );

  test("writes what is JSON already as it is", () => {
    expect(writeJson({ a: new RawJson("1.0"), b: undefined, c: [2n ** 60n] })).toBe(
      '{"a":1.0,"c":[1152921504606846976]}',
    );
  });
});
