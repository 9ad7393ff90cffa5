import { execFile } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterEach, beforeEach, expect, test } from "vitest";
import { checkBinary, findBinary, platformPackage } from "../../src/server/binary.js";
import { VERSION } from "../../src/version.js";
import { Place, until } from "./processes.js";

const program = fileURLToPath(new URL("../../build/programs/alone.js", import.meta.url));
const run = promisify(execFile);

let place: Place;

beforeEach(() => {
  place = new Place();
});

afterEach(() => place.dispose());

/** True while a process of this id lives. */
function lives(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

const environment = (more: NodeJS.ProcessEnv = {}) => {
  const { POLOS_URL: _url, POLOS_TOKEN: _token, POLOS_DATA_DIR: _dir, ...env } = process.env;
  return { ...env, ...more };
};

test("a program that knows no server starts one, and it ends with the program", async () => {
  const options = { cwd: place.path, env: environment() };
  const { stdout } = await run(process.execPath, [program, "once"], options);
  expect(stdout).toBe("Hello, Ada!\n42\n");
  const server = join(place.path, ".polos", "server.json");
  if (existsSync(server)) {
    const { pid } = JSON.parse(readFileSync(server, "utf8")) as { pid: number };
    await until(() => !lives(pid), "the end of the server");
  }
  // What was recorded stays: the same key is the same run, whose output is there at once.
  const again = await run(process.execPath, [program, "once"], options);
  expect(again.stdout).toBe("Hello, Ada!\n42\n");
});

test("without the program there is a clear word", async () => {
  const env = environment({ POLOS_BINARY: "/nowhere/polos" });
  const failed = run(process.execPath, [program], { cwd: place.path, env });
  await expect(failed).rejects.toThrow("POLOS_BINARY names `/nowhere/polos`, which is no file");
});

test("a program of another version is refused, showing both", () => {
  const binary = findBinary();
  expect(() => checkBinary(binary)).not.toThrow();
  expect(() => checkBinary(binary, "7.1.0")).toThrow(
    new RegExp(`is polos ${VERSION.replaceAll(".", "\\.")}\\S*, and this is @polos/sdk 7\\.1\\.0`),
  );
  expect(platformPackage("linux", "x64")).toBe("@polos/linux-x64");
});
