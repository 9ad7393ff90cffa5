/** Real processes for the tests: the server's binary, and worker programs of test/programs. */

import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Client } from "../../src/client.js";
import { findBinary } from "../../src/server/binary.js";

const programs = fileURLToPath(new URL("../../build/programs/", import.meta.url));

/** A folder that is gone when the test is. */
export class Place {
  readonly path = mkdtempSync(join(tmpdir(), "polos-ts-"));
  private readonly processes: ChildProcess[] = [];

  file(name: string): string {
    return join(this.path, name);
  }

  /** The lines of a file, or none. */
  lines(name: string): string[] {
    if (!existsSync(this.file(name))) return [];
    return readFileSync(this.file(name), "utf8")
      .split("\n")
      .filter((line) => line !== "");
  }

  spawn(command: string, args: string[], env: NodeJS.ProcessEnv = {}): ChildProcess {
    const child = spawn(command, args, {
      cwd: this.path,
      env: { ...process.env, ...env },
      stdio: ["ignore", "ignore", process.env.POLOS_TEST_LOG ? "inherit" : "ignore"],
    });
    this.processes.push(child);
    return child;
  }

  async dispose(): Promise<void> {
    for (const child of this.processes) await kill(child);
    rmSync(this.path, { recursive: true, force: true });
  }
}

/** Ends a process as a power cut would. */
export async function kill(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = new Promise((resolve) => child.once("exit", resolve));
  child.kill("SIGKILL");
  await gone;
}

/** A server over a data directory in a place. */
export class Server {
  private child: ChildProcess | undefined;
  private listen = "127.0.0.1:0";

  constructor(readonly place: Place) {}

  get directory(): string {
    return this.place.file(".polos");
  }

  async start(): Promise<Client> {
    if (this.listen.endsWith(":0")) this.listen = `127.0.0.1:${await freePort()}`;
    rmSync(join(this.directory, "server.json"), { force: true });
    const env = { POLOS_DATA_DIR: this.directory, POLOS_LOG: "warn" };
    this.child = this.place.spawn(findBinary().path, ["serve", "--listen", this.listen], env);
    return this.ready();
  }

  private async ready(): Promise<Client> {
    await until(() => existsSync(join(this.directory, "server.json")), "the server's address");
    const token = readFileSync(join(this.directory, "token"), "utf8").trim();
    const client = new Client(`http://${this.listen}`, token);
    await until(
      () =>
        client.health().then(
          () => true,
          () => false,
        ),
      "the server's answer",
    );
    return client;
  }

  async kill(): Promise<void> {
    if (this.child) await kill(this.child);
  }

  /** A worker program of test/programs. */
  worker(program: string, env: NodeJS.ProcessEnv = {}): ChildProcess {
    const found = { POLOS_DATA_DIR: this.directory, ...env };
    return this.place.spawn(process.execPath, [join(programs, `${program}.js`)], found);
  }
}

async function freePort(): Promise<number> {
  const probe = createServer();
  await new Promise<void>((resolve) => probe.listen(0, "127.0.0.1", resolve));
  const bound = probe.address();
  await new Promise((resolve) => probe.close(resolve));
  return typeof bound === "object" && bound ? bound.port : 0;
}

/** Waits until something is so; what is not within the limit has failed. */
export async function until(
  holds: () => boolean | Promise<boolean>,
  what: string,
  limitMs = 30_000,
): Promise<void> {
  const end = Date.now() + limitMs;
  while (!(await holds())) {
    if (Date.now() > end) throw new Error(`${what} did not come within ${limitMs} ms`);
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
}
