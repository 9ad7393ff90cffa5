import { execFile } from "node:child_process";
import { writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Finding } from "../../src/protocol/frames.js";
import { findBinary } from "../../src/server/binary.js";
import { kill, Place, Server, until } from "./processes.js";

const program = fileURLToPath(new URL("../../build/programs/versions.js", import.meta.url));
const run = promisify(execFile);

const place = new Place();
const server = new Server(place);
const runs: string[] = [];

/** Runs that the old code recorded, and that wait for a person. Neither server nor worker is left. */
beforeAll(async () => {
  const client = await server.start();
  const worker = server.worker("versions", { LEDGER: place.file("ledger") });
  for (const size of [3, 500_000]) runs.push((await client.start("order", size)).id);
  for (const id of runs) {
    await until(async () => (await client.get(id)).state === "waiting", "the wait for a person");
  }
  await kill(worker);
  await server.kill();
});

afterAll(() => place.dispose());

/** What `polos replay` says of some code; and nothing of it may have run. */
async function replay(code: string, id: string): Promise<Finding> {
  const command = `env CODE=${code} LEDGER=${place.file("ledger")} ${process.execPath} ${program}`;
  writeFileSync(place.file("polos.toml"), `[dev]\nworker = "${command}"\n`);
  const { POLOS_URL: _url, ...env } = process.env;
  const options = { cwd: place.path, env: { ...env, POLOS_DATA_DIR: server.directory } };
  const args = ["replay", "--json", "--all", id];
  const said = await run(findBinary().path, args, options).catch(
    (failed: { stdout: string }) => failed,
  );
  expect(place.lines("ledger").sort()).toEqual(["charge", "charge", "reserve", "reserve"]);
  const [line] = said.stdout.split("\n");
  return (JSON.parse(line ?? "") as { finding: Finding }).finding;
}

test.each([0, 1])("the code that recorded a run agrees (%i)", async (which) => {
  const finding = await replay("old", runs[which] ?? "");
  expect(finding).toEqual({ result: "agrees", next: "waits for `ship`" });
});

test("a step that is new before recorded ones is said to be inserted", async () => {
  const finding = await replay("inserted", runs[0] ?? "");
  expect(finding).toMatchObject({
    result: "inserts",
    steps: ["audit"],
    unchecked: ["charge", "ship"],
  });
});

test("a renamed once step differs, and both sides are shown", async () => {
  const finding = await replay("renamed", runs[0] ?? "");
  expect(finding).toMatchObject({
    result: "differs",
    blocked: { code: "nondeterminism", step: "pay" },
  });
});

test("a patch keeps the old way; code that fails says so", async () => {
  expect(await replay("patched", runs[0] ?? "")).toMatchObject({ result: "agrees" });
  expect(await replay("raises", runs[0] ?? "")).toEqual({
    result: "agrees",
    next: "ends with an error: the new code is broken (error)",
  });
});
