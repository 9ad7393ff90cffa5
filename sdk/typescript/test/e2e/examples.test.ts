import { execFile } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { describe, expect, test } from "vitest";
import { Place } from "./processes.js";

const root = fileURLToPath(new URL("../../../../examples/typescript/", import.meta.url));
const run = promisify(execFile);

/** The output of each example, as its README shows it. */
function shown(): Map<string, string> {
  const readme = readFileSync(`${root}README.md`, "utf8");
  const sections = readme.matchAll(/^## (\S+)\n[\s\S]*?^```text\n([\s\S]*?)^```/gm);
  return new Map([...sections].map(([, name, output]) => [name ?? "", output ?? ""]));
}

describe("the examples do what their README shows", () => {
  const files = readdirSync(`${root}src`).map((file) => file.replace(/\.ts$/, ""));
  const outputs = shown();

  test("each has its place there", () => {
    expect([...outputs.keys()]).toEqual(files);
  });

  test.each(files)("%s", async (name) => {
    const place = new Place();
    try {
      const { POLOS_URL: _url, POLOS_DATA_DIR: _directory, ...env } = process.env;
      const options = { cwd: place.path, env, timeout: 50_000 };
      const { stdout } = await run(process.execPath, [`${root}build/${name}.js`], options);
      expect(stdout).toBe(outputs.get(name));
    } finally {
      await place.dispose();
    }
  });
});
