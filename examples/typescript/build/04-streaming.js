// What the model says comes as it comes; the answer comes last.
import { fileURLToPath } from "node:url";
import { defineAgent } from "@polos/sdk";
const teller = defineAgent({
    id: "teller",
    provider: "scripted",
    script: fileURLToPath(new URL("../scripts/teller.toml", import.meta.url)),
});
let words = "";
for await (const event of teller.stream("Tell me something.")) {
    if (event.type === "answer")
        console.log(`\nanswered in ${event.result.turns} turn`);
    else if (event.kind === "text") {
        words = String(event.data);
        process.stdout.write(words);
    }
}
