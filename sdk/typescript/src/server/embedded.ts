/**
 * A server for programs that do not know one: a `polos` process of their own over the data
 * directory, which ends with the program, however that ends. What it has recorded stays.
 */

import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { type Address, addressOfDirectory, directoryAbove } from "../client/address.js";
import { NoServer } from "../errors.js";
import { checkBinary, findBinary } from "./binary.js";

/** How long the server may take to answer. */
const START_MS = 20_000;
const POLL_MS = 20;
/** How long a server that is there may take to say so. */
const HEALTH_MS = 2_000;
/** What is kept of what the server says, for the error if it ends. */
const SAID_CHARACTERS = 4_000;

/** The data directory of a program without a server: `.polos` here or above, else made here. */
export function embeddedDirectory(): string {
  const named = process.env.POLOS_DATA_DIR;
  return named || directoryAbove(process.cwd()) || join(process.cwd(), ".polos");
}

/** Starts a server on a free port over a data directory. */
export async function startEmbedded(directory: string): Promise<Address> {
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const { child, said } = run(["serve", "--listen", "127.0.0.1:0"], { POLOS_DATA_DIR: directory });
  try {
    return await answering(child, directory, said);
  } catch (error) {
    child.kill("SIGKILL");
    throw error;
  }
}

/** Starts the native worker, which runs the loop of agents. */
export function startNative(address: Address, directory: string): void {
  // A server over a data directory here is this user's own; one that was named may have others, whose
  // agents are to stay in their boxes.
  const trust = process.env.POLOS_URL ? [] : ["--trust-declared-agents"];
  run(["worker", ...trust], {
    POLOS_URL: address.url,
    POLOS_TOKEN: address.token,
    POLOS_DATA_DIR: directory,
  });
}

/** Runs the program for this one: it ends with it, and does not keep it alive. */
function run(
  args: string[],
  env: NodeJS.ProcessEnv,
): { child: ChildProcess; said: { text: string } } {
  const binary = findBinary();
  checkBinary(binary);
  const child = spawn(binary.path, args, {
    env: { ...process.env, ...env, POLOS_END_WITH_STDIN: "1" },
    stdio: ["pipe", "ignore", "pipe"],
  });
  const said = { text: "" };
  child.stderr?.setEncoding("utf8").on("data", (text: string) => {
    said.text = (said.text + text).slice(-SAID_CHARACTERS);
  });
  child.unref();
  for (const stream of [child.stdin, child.stderr]) unref(stream);
  return { child, said };
}

/** A pipe is a socket to Node, though its type does not say so. */
function unref(stream: unknown): void {
  (stream as { unref?: () => void } | null)?.unref?.();
}

async function answering(
  child: ChildProcess,
  directory: string,
  said: { text: string },
): Promise<Address> {
  const end = Date.now() + START_MS;
  while (Date.now() < end) {
    if (child.exitCode !== null || child.signalCode !== null) {
      throw new NoServer(`the server has ended: ${said.text.trim()}`, "see `polos doctor`");
    }
    const address = await reachable(directory);
    if (address) return address;
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
  throw new NoServer(`the server did not answer within ${START_MS} ms`, "see `polos doctor`");
}

/** The server that runs over a data directory, if it answers. */
export async function reachable(directory: string): Promise<Address | undefined> {
  if (!existsSync(join(directory, "server.json"))) return undefined;
  try {
    const address = addressOfDirectory(directory);
    const signal = AbortSignal.timeout(HEALTH_MS);
    const response = await fetch(`${address.url}/v1/health`, { signal });
    return response.ok ? address : undefined;
  } catch {
    return undefined;
  }
}
