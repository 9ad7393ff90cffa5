/** The client that is used where none is given. */

import { Client } from "../client.js";
import type { Definition } from "../definition.js";

let found: Client | undefined;

/** A client of the server that the environment names. */
export async function defaultClient(_definition: Definition<never, unknown>): Promise<Client> {
  found ??= new Client();
  return found;
}
