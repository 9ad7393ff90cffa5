import { afterEach, beforeEach, expect, test } from "vitest";
import type { Client } from "../../src/client.js";
import { kill, Place, Server, until } from "./processes.js";

let place: Place;
let server: Server;
let client: Client;

beforeEach(async () => {
  place = new Place();
  server = new Server(place);
  client = await server.start();
});

afterEach(() => place.dispose());

test("a run goes on where its worker was killed, and repeats nothing that is recorded", async () => {
  const env = { LEDGER: place.file("ledger"), POLOS_BUILD_ID: "b1" };
  const first = server.worker("ledger", env);
  const { id } = await client.start("chain", { steps: 8, pauseMs: 60 });
  await until(() => place.lines("ledger").length >= 4, "the fourth step");
  await kill(first);
  server.worker("ledger", env);
  expect(await client.output(id)).toEqual([0, 1, 4, 9, 16, 25, 36, 49]);

  const begun = place.lines("ledger").map((line) => line.split(" ")[1]);
  // Only the step in whose middle the worker died may have begun twice.
  expect(new Set(begun).size).toBe(8);
  expect(begun.length).toBeLessThanOrEqual(9);
  const keys = new Set(place.lines("ledger").map((line) => line.split(" ").slice(1).join(" ")));
  expect(keys.size, "a step that begins again has its key again").toBe(8);
  const { records } = await client.journal(id);
  expect(records.map(({ record }) => `${record.record.kind} ${record.record.key}`)).toEqual(
    Array.from({ length: 8 }, (_, i) => `step step ${i}`),
  );
});

test("a once step that was cut short is verified, not repeated", async () => {
  const env = { LEDGER: place.file("ledger"), POLOS_BUILD_ID: "b1" };
  const first = server.worker("ledger", env);
  const { id } = await client.start("charge", { pauseMs: 60_000 });
  await until(() => place.lines("ledger").length >= 1, "the charge");
  await kill(first);
  server.worker("ledger", env);
  expect(await client.output(id)).toEqual({ paid: true });
  expect(place.lines("ledger").map((line) => line.split(" ")[0])).toEqual(["charge", "verify"]);
});

test("a server that was killed comes back, and the worker keeps its run", async () => {
  const env = { LEDGER: place.file("ledger"), POLOS_BUILD_ID: "b1" };
  server.worker("ledger", env);
  const { id } = await client.start("chain", { steps: 6, pauseMs: 80 });
  await until(() => place.lines("ledger").length >= 3, "the third step");
  await server.kill();
  await server.start();
  expect(await client.output(id)).toEqual([0, 1, 4, 9, 16, 25]);
  expect(place.lines("ledger").length, "nothing ran twice: the worker never lost it").toBe(6);
});
