import { writeFileSync } from "node:fs";
import { afterEach, beforeEach, expect, test } from "vitest";
import { defineAgent } from "../../src/agent.js";
import type { Client } from "../../src/client.js";
import { derivedId } from "../../src/protocol/id.js";
import { findBinary } from "../../src/server/binary.js";
import { Place, Server, until } from "./processes.js";

const SCRIPT = `
script = "a test"

[[reply]]
agent = "forecaster"
turn = 0
text = "Let me look."
tools = [
  { name = "weather", input = { city = "Rome" } },
  { name = "weather", input = { city = "Nowhere" } },
]

[[reply]]
agent = "forecaster"
turn = 1
expect = ["21", "no such city"]
text = "It is 21 degrees in Rome."

[[reply]]
agent = "judge"
turn = 0
text = '{"warm": true}'

[[reply]]
agent = "coder"
turn = 0
text = "I try."
tools = [{ name = "exec", input = { command = "echo made in $PWD > out.txt && cat out.txt" } }]

[[reply]]
agent = "coder"
turn = 1
expect = "made in /workspace"
text = "Done."
`;

let place: Place;
let client: Client;

beforeEach(async () => {
  place = new Place();
  const server = new Server(place);
  client = await server.start();
  writeFileSync(place.file("script.toml"), SCRIPT);
  const { url, token } = client.address;
  const env = { POLOS_URL: url, POLOS_TOKEN: token, POLOS_DATA_DIR: server.directory };
  place.spawn(findBinary().path, ["worker", "--trust-declared-agents"], env);
  server.worker("agents", { SCRIPT: place.file("script.toml"), LEDGER: place.file("ledger") });
  await until(async () => {
    const { items } = await client.definitions();
    return ["polos.agent", "forecaster"].every((name) => items.some((one) => one.name === name));
  }, "both workers");
});

afterEach(() => place.dispose());

test("an agent calls tools that run where they were declared, and reads their errors", async () => {
  const forecaster = defineAgent({ id: "forecaster" });
  const result = await forecaster.run("How is it in Rome?", { client });
  expect(result.output).toBe("It is 21 degrees in Rome.");
  expect(result.turns).toBe(2);
  const lines = place.lines("ledger");
  expect(lines.filter((line) => line.startsWith("weather Rome")).length).toBe(1);
  // The failing call is tried again as the step's retry says, each time with its one key.
  const failing = lines.filter((line) => line.startsWith("weather Nowhere"));
  expect(failing.length).toBe(5);
  expect(new Set(failing).size).toBe(1);

  const native = derivedId("run", result.runId, "polos.agent");
  const { records } = await client.journal(native);
  const steps = records.filter(({ record }) => record.record.kind !== "resolved");
  const said = steps.map(({ record }) => `${record.record.kind} ${record.record.key}`);
  expect(said.filter((line) => line.startsWith("step model")).length).toBe(2);
  expect(said.filter((line) => line.startsWith("open tools/")).sort()).toEqual([
    "open tools/0/weather",
    "open tools/1/weather",
  ]);
});

test("what an agent says comes as it comes, and its answer last", async () => {
  const forecaster = defineAgent({ id: "forecaster" });
  let text = "";
  let answer: string | undefined;
  for await (const event of forecaster.stream("How is it in Rome?", { client })) {
    if (event.type === "answer") answer = event.result.output;
    else if (event.kind === "text") text += (event.data as { text?: string }).text ?? event.data;
  }
  expect(answer).toBe("It is 21 degrees in Rome.");
  expect(text).toContain("Let me look.");
});

test("a workflow calls agents, one of them with an answer of its schema", async () => {
  const result = await client.run("plan", "Rome");
  expect(result).toEqual({ text: "It is 21 degrees in Rome.", output: { warm: true } });
});

test("an agent works in a box", async () => {
  const result = await defineAgent({ id: "coder" }).run("Write a file.", { client });
  expect(result.output).toBe("Done.");
});
