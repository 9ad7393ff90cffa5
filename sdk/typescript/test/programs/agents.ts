/** A worker with agents that answer from a script: SCRIPT names the file of replies. */

import { appendFileSync } from "node:fs";
import { defineAgent, defineTool, defineWorkflow, sandboxTools, serve } from "@polos/sdk";
import { z } from "zod";

const script = process.env.SCRIPT ?? "";
const ledger = process.env.LEDGER ?? "/dev/null";

const weather = defineTool(
  {
    id: "weather",
    description: "Tells the weather of a city.",
    input: z.object({ city: z.string() }),
  },
  ({ city }, step) => {
    appendFileSync(ledger, `weather ${city} ${step.idempotencyKey}\n`);
    if (city === "Nowhere") throw new Error("there is no such city");
    return { city, degrees: 21 };
  },
);

const forecaster = defineAgent({
  id: "forecaster",
  provider: "scripted",
  script,
  systemPrompt: "You tell the weather.",
  tools: [weather],
});

const judge = defineAgent({
  id: "judge",
  provider: "scripted",
  script,
  output: z.object({ warm: z.boolean() }),
});

const coder = defineAgent({
  id: "coder",
  provider: "scripted",
  script,
  tools: sandboxTools({ env: "local", exec: { security: "full" } }),
});

const plan = defineWorkflow({ id: "plan" }, async (ctx, city: string) => {
  const { text } = await ctx.call(forecaster, `How is it in ${city}?`);
  const { output } = await ctx.call(judge, text);
  return { text, output };
});

await serve({ definitions: [forecaster, judge, coder, plan] });
