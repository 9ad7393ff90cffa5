// A session is a conversation over many runs: each run reads what was said before.

import { fileURLToPath } from "node:url";
import { Client, defineAgent } from "@polos/sdk";

const friend = defineAgent({
  id: "friend",
  provider: "scripted",
  script: fileURLToPath(new URL("../scripts/friend.toml", import.meta.url)),
});

// The first run starts the server of this program; a client made after it finds that.
console.log((await friend.run("Hi!")).output);
const client = new Client();
const { id: session } = await client.createSession({ title: "a chat" });
console.log((await friend.run("My name is Ada.", { session })).output);
console.log((await friend.run("What is my name?", { session })).output);
const { items } = await client.turns(session);
console.log(`${items.length} turns`);
