import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, test } from "vitest";
import { parseJson } from "../../src/protocol/json.js";
import { checkAll } from "./expectations.js";
import { Play } from "./play.js";
import { checkWords, type Scenario } from "./scenario.js";

const root = fileURLToPath(new URL("../../../../tests/conformance/scenarios/", import.meta.url));
const files = readdirSync(root, { recursive: true, encoding: "utf8" })
  .filter((file) => file.endsWith(".json"))
  .sort();

describe.concurrent("conformance", () => {
  for (const file of files) {
    const scenario = parseJson(readFileSync(root + file, "utf8")) as Scenario;
    test(`${file}: ${scenario.about}`, { timeout: 180_000 }, async () => {
      checkWords(scenario);
      const play = new Play(scenario, root + file);
      try {
        await checkAll(play, await play.run(), scenario.expect);
      } finally {
        await play.dispose();
      }
    });
  }
});
