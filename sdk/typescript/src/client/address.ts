/** Where the server is: said outright, by the environment, or by a data directory. */

import { existsSync, readFileSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { NoServer } from "../errors.js";

/** The data directory's name, looked for here and in the parents. */
const DIRECTORY = ".polos";

/** A server's address and a key to it. */
export interface Address {
  /** `http://127.0.0.1:4300` and the like, without a slash at the end. */
  readonly url: string;
  /** The API key, or the data directory's token. */
  readonly token: string;
}

/** An address; a missing `http://` is added. */
export function address(url: string, token: string): Address {
  const bare = url.replace(/\/+$/, "");
  return { url: bare.includes("://") ? bare : `http://${bare}`, token };
}

const variable = (name: string): string | undefined => process.env[name] || undefined;

/** `POLOS_URL` and `POLOS_TOKEN`; without the first, the data directory's server. */
export function findAddress(): Address {
  const url = variable("POLOS_URL");
  const token = variable("POLOS_TOKEN");
  if (url) return address(url, token ?? "");
  const found = addressOfDirectory(dataDirectory());
  return token ? { ...found, token } : found;
}

function dataDirectory(): string {
  const directory = variable("POLOS_DATA_DIR") ?? directoryAbove(process.cwd());
  if (directory) return directory;
  throw new NoServer(
    "no server is known: neither `POLOS_URL` is set nor is there a `.polos` directory here or above",
    "start one with `polos dev`, or set POLOS_URL and POLOS_TOKEN",
  );
}

/** The data directory here or in a parent. */
export function directoryAbove(here: string): string | undefined {
  for (let at = here; ; at = dirname(at)) {
    const found = join(at, DIRECTORY);
    if (statSync(found, { throwIfNoEntry: false })?.isDirectory()) return found;
    if (at === dirname(at)) return undefined;
  }
}

/** The server that runs over a data directory. */
export function addressOfDirectory(directory: string): Address {
  const file = join(directory, "server.json");
  if (!existsSync(file)) {
    throw new NoServer(
      `\`${directory}\` names no running server`,
      "start one with `polos dev` or `polos serve`",
    );
  }
  const { url } = JSON.parse(readFileSync(file, "utf8")) as { url: string };
  return address(url, readFileSync(join(directory, "token"), "utf8").trim());
}
