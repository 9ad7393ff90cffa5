// An agent calls a function of yours. Each call of the model and of the tool is recorded: a crash
// repeats none of them. The model here answers from a script; leave `provider` and `script` out to
// use the one that ANTHROPIC_API_KEY or OPENAI_API_KEY names.
import { fileURLToPath } from "node:url";
import { defineAgent, defineTool } from "@polos/sdk";
import { z } from "zod";
const weather = defineTool({
    id: "weather",
    description: "Tells the weather of a city.",
    input: z.object({ city: z.string() }),
}, ({ city }) => ({ city, degrees: 21, sky: "clear" }));
const forecaster = defineAgent({
    id: "forecaster",
    provider: "scripted",
    script: fileURLToPath(new URL("../scripts/forecaster.toml", import.meta.url)),
    systemPrompt: "You tell the weather in one sentence.",
    tools: [weather],
});
const { output, turns } = await forecaster.run("How is it in Rome?");
console.log(`${output} (${turns} turns)`);
