// The answer follows a schema: it is checked, and sent back to the model if it does not fit.

import { fileURLToPath } from "node:url";
import { defineAgent } from "@polos/sdk";
import { z } from "zod";

const Ticket = z.object({
  severity: z.enum(["low", "high"]),
  summary: z.string(),
});

const triage = defineAgent({
  id: "triage",
  provider: "scripted",
  script: fileURLToPath(new URL("../scripts/triage.toml", import.meta.url)),
  systemPrompt: "You sort tickets.",
  output: Ticket,
});

const { output } = await triage.run("The site is down since nine.");
console.log(output.severity, "-", output.summary);
