/** A worker whose code is of one of several versions: CODE says which. */

import { appendFileSync } from "node:fs";
import { defineWorkflow, serve, TerminalError } from "@polos/sdk";

const code = process.env.CODE ?? "old";
const note = (name: string) => appendFileSync(process.env.LEDGER ?? "/dev/null", `${name}\n`);

const order = defineWorkflow({ id: "order" }, async (ctx, size: number) => {
  const reserved = await ctx.step("reserve", () => {
    note("reserve");
    return "x".repeat(size);
  });
  const isNew = code === "inserted" || (code === "patched" && ctx.patched("audit"));
  if (isNew) await ctx.step("audit", () => note("audit"));
  await ctx.step(code === "renamed" ? "pay" : "charge", () => note("charge"), { effect: "once" });
  if (code === "raises") throw new TerminalError("the new code is broken");
  await ctx.ask("Ship it?", { name: "ship" });
  return reserved.length;
});

await serve({ definitions: [order], build: code });
