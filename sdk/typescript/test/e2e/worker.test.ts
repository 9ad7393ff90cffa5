import { defineWorkflow, Worker, WorkerRefused } from "@polos/sdk";
import { afterEach, beforeEach, expect, test } from "vitest";
import type { Client } from "../../src/client.js";
import { ApiError, RunFailed } from "../../src/errors.js";
import { Place, Server, until } from "./processes.js";

let place: Place;
let server: Server;
let client: Client;

beforeEach(async () => {
  place = new Place();
  server = new Server(place);
  client = await server.start();
});

afterEach(() => place.dispose());

const pending = async (runId: string) => {
  let id = "";
  await until(async () => {
    const { items } = await client.approvals({ run: runId, state: "pending" });
    id = items[0]?.id ?? "";
    return id !== "";
  }, "the question");
  return id;
};

test.each([
  ["ship", false, "", "shipped o1 for 12.5"],
  ["refund", true, "after_charge", "refunded o1: 12.5"],
])("the order of the documentation: %s, killed %s", async (_how, fraud, die, expected) => {
  const env = { LEDGER: place.file("ledger"), POLOS_BUILD_ID: "b1" };
  const first = server.worker("orders", { ...env, DIE: die });
  const { id } = await client.start("fulfil", { id: "o1", total: 12.5 }, { key: "order-o1" });
  if (die) {
    await until(() => first.exitCode !== null || first.signalCode !== null, "the kill");
    server.worker("orders", env);
  }
  // Nobody knows when the killed process charged: the answer waits for the end of its lease, and
  // is settled by asking, not by charging again.
  await client.decide(await pending(id), { approved: true, value: { fraud } });
  expect(await client.output(id)).toBe(expected);
  expect(place.lines("ledger").length, "one charge").toBe(1);
  const again = await client.start("fulfil", { id: "o1", total: 12.5 }, { key: "order-o1" });
  expect(again).toMatchObject({ id, existing: true });
});

test("a form that does not fit is refused, and a no is thrown", async () => {
  server.worker("orders", { LEDGER: place.file("ledger") });
  const start = async (total: unknown) => (await client.start("fulfil", { id: "o2", total })).id;
  const refused = await client.wait(await start("much"));
  expect(refused).toMatchObject({
    state: "failed",
    error: { code: "invalid_input", terminal: true },
  });
  const run = await start(1);
  await client.decide(await pending(run), { approved: false, feedback: "not ours" });
  const failed = client.output(run);
  await expect(failed).rejects.toThrow(RunFailed);
  await expect(failed).rejects.toThrow(/said no: not ours/);
});

test("a program that blocks its event loop beyond the lease keeps its run", async () => {
  server.worker("ledger");
  const { id } = await client.start("busy", { blockMs: 12_500 });
  expect(await client.output(id)).toBe("after");
  expect((await client.get(id)).assignment, "it went to nobody else").toBe(1);
});

test("a run parks while it waits, and what comes meanwhile is kept", async () => {
  server.worker("ledger");
  const { id } = await client.start("waits");
  await client.publish("go", { n: 2 ** 53 }, { run: id });
  await client.decide(await pending(id), { approved: true });
  expect(await client.output(id)).toEqual({ approved: true, n: 2 ** 53 });
  expect((await client.get(id)).assignment, "it was parked, and given again").toBeGreaterThan(1);
});

test("SIGTERM drains: the running step ends, and the run goes on elsewhere", async () => {
  const env = { LEDGER: place.file("ledger"), POLOS_BUILD_ID: "b1" };
  const first = server.worker("ledger", env);
  const { id } = await client.start("chain", { steps: 4, pauseMs: 400 });
  await until(() => place.lines("ledger").length >= 2, "the second step");
  first.kill("SIGTERM");
  await until(() => first.exitCode !== null, "the end of the worker");
  expect(first.exitCode).toBe(0);
  server.worker("ledger", env);
  expect(await client.output(id)).toEqual([0, 1, 4, 9]);
  expect(place.lines("ledger").length, "nothing ran twice").toBe(4);
});

test("a worker that the server does not want says why", async () => {
  const idle = defineWorkflow({ id: "idle" }, () => 1);
  const { url } = client.address;
  const worker = new Worker({ definitions: [idle], url, token: "wrong", warn: () => {} });
  await expect(worker.stopped).rejects.toThrow(WorkerRefused);
});

test("errors of the server have their code and their way out", async () => {
  const missing = client.start("nobody has this", null, { mustExist: true });
  await expect(missing).rejects.toThrow(ApiError);
  await expect(missing).rejects.toMatchObject({ code: "unknown_workflow", status: 404 });
});
