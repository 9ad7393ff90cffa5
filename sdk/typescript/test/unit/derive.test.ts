import fc from "fast-check";
import { expect, test } from "vitest";
import { derivedId, idBytes, newId } from "../../src/protocol/id.js";
import { childKey, isWithin } from "../../src/protocol/key.js";
import { encode } from "../../src/protocol/value.js";
import {
  canonical,
  chance,
  fingerprint,
  idempotencyKey,
  unit,
  uuid,
} from "../../src/replay/derive.js";
import { delayMs, retryPolicy } from "../../src/replay/retry.js";

test("names cannot forge paths", () => {
  expect(childKey("", "a/b", 1)).toBe("a%2Fb");
  expect(childKey(childKey("", "a", 1), "b", 2)).toBe("a/b#2");
  expect(childKey("", "a#2", 1)).not.toBe(childKey("", "a", 2));
  expect(isWithin("fan/x", "fan")).toBe(true);
  expect(isWithin("fantasy", "fan")).toBe(false);
});

test("ids are time ordered and round trip", () => {
  fc.assert(
    fc.property(fc.nat(2 ** 31), fc.nat(2 ** 31), (a, b) => {
      const [x, y] = [newId("run", a), newId("run", b)];
      expect(x).toMatch(/^run_[0-7][0-9a-hjkmnp-tv-z]{25}$/);
      if (a !== b) expect(x < y).toBe(a < b);
      expect(derivedId("run", x, "k")).toBe(derivedId("run", x, "k"));
      expect(derivedId("run", x, "k")).not.toBe(derivedId("run", x, "l"));
      expect([...idBytes(x).subarray(0, 6)]).toEqual([
        ...idBytes(derivedId("run", x, "k")).subarray(0, 6),
      ]);
    }),
  );
});

test("idempotency keys are those of the other SDKs", () => {
  // Computed apart, from the definition: SHA-256 of label, run's bytes, key, generation.
  const run = "run_00000000000000000000000001";
  expect(idempotencyKey(run, "charge", 0)).toBe("polos_7fe726554fec1ed54349ae7c57e56975");
  expect(idempotencyKey(run, "charge", 1)).toBe("polos_6fa3e61678dc00ce71ebe110c779d214");
});

test("fingerprints ignore the order of keys and nothing else", () => {
  const print = (value: unknown) => fingerprint(encode(value));
  expect(canonical({ b: 1, a: [1, { y: "", x: null }] })).toBe('{"a":[1,{"x":null,"y":""}],"b":1}');
  expect(print({ a: 1, b: 2 })).toBe(print({ b: 2, a: 1 }));
  expect(print(1)).not.toBe(print("1"));
  expect(print(9007199254740993n)).not.toBe(print(9007199254740992n));
});

test("chance derives from seed, scope, purpose and counter", () => {
  const id = uuid(chance("ab", "", "uuid", 1));
  expect(id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  expect(uuid(chance("ab", "", "uuid", 2))).not.toBe(id);
  expect(chance("a", "b", "uuid", 1)).not.toEqual(chance("ab", "", "uuid", 1));
  expect(unit(chance("s", "", "random", 1))).toBeLessThan(1);
});

test("waits grow to the limit and keep hints", () => {
  const retry = retryPolicy({ jitter: 0 });
  const waits = [1, 2, 3, 4, 5, 6, 7, 8].map((n) => delayMs(retry, n, 0.5, undefined));
  expect(waits).toEqual([500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000]);
  expect(delayMs(retry, 1, 0.5, 90_000)).toBe(90_000);
  expect(delayMs(retryPolicy(), 1, 1, undefined)).toBe(400);
});
