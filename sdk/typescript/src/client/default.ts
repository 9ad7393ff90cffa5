/**
 * The client that is used where none is given. If no server is known or none runs, this program
 * starts one; and what no worker offers, this program itself serves.
 */

import { Client } from "../client.js";
import { allMade, type Definition } from "../definition.js";
import { NoServer } from "../errors.js";
import { embeddedDirectory, reachable, startEmbedded, startNative } from "../server/embedded.js";
import type { Worker } from "../worker.js";
import { findAddress } from "./address.js";

/** What this program uses and serves. */
interface Standing {
  client: Client;
  worker: Worker | undefined;
  served: Set<Definition>;
  /** The native worker runs. */
  hasNative: boolean;
}

/** The workflow of the native worker that runs agents which come with their input. */
const NATIVE = "polos.agent";

/** One caller at a time: what one starts, the next finds. */
let standing: Promise<Standing> | undefined;

/** A client of a server at which somebody runs the definition. */
export async function defaultClient(definition: Definition): Promise<Client> {
  standing = (standing ?? begin()).then((now) => offer(now, definition));
  try {
    return (await standing).client;
  } catch (error) {
    standing = undefined;
    throw error;
  }
}

async function begin(): Promise<Standing> {
  const client = (await ofEnvironment()) ?? (await ofOwn());
  return { client, worker: undefined, served: new Set(), hasNative: false };
}

/** The server that the environment names, or the one that runs over the data directory. */
async function ofEnvironment(): Promise<Client | undefined> {
  if (process.env.POLOS_URL) return new Client();
  try {
    findAddress();
  } catch (error) {
    if (error instanceof NoServer) return undefined;
    throw error;
  }
  const address = await reachable(embeddedDirectory());
  return address && new Client(address.url, address.token);
}

async function ofOwn(): Promise<Client> {
  const { url, token } = await startEmbedded(embeddedDirectory());
  return new Client(url, token);
}

/** Sees to it that somebody runs the definition, and the loop of agents if it is one. */
async function offer(now: Standing, definition: Definition): Promise<Standing> {
  if (now.served.has(definition)) return now;
  const { items } = await now.client.definitions();
  const offered = new Set(items.filter(({ workers }) => workers > 0).map(({ name }) => name));
  const mine = allMade(definition);
  const hasAgents = mine.some(({ registered }) => registered.kind === "agent");
  if (hasAgents && !offered.has(NATIVE) && !now.hasNative) {
    startNative(now.client.address, embeddedDirectory());
    now.hasNative = true;
  }
  if (offered.has(definition.id) && !now.worker) return now;
  return serve(now, new Set(mine));
}

async function serve(now: Standing, served: Set<Definition>): Promise<Standing> {
  const { url, token } = now.client.address;
  // Loaded when it is needed: a program that only calls needs no worker.
  const { Worker } = await import("../worker.js");
  const worker = new Worker({ definitions: [...served], url, token, keepsAlive: false });
  await worker.connected();
  // The old one goes once the new one is there; its runs go over to it.
  void now.worker?.stop();
  return { ...now, worker, served };
}
