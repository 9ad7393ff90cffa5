/** A worker whose steps leave a line in a file, so that a test sees what really ran. */

import { appendFileSync } from "node:fs";
import { defineWorkflow, done, notDone, serve } from "@polos/sdk";

const ledger = process.env.LEDGER ?? "/dev/null";
const note = (line: string) => appendFileSync(ledger, `${line}\n`);

const chain = defineWorkflow(
  { id: "chain" },
  async (ctx, input: { steps: number; pauseMs: number }) => {
    const results: number[] = [];
    for (let i = 0; i < input.steps; i++) {
      const result = await ctx.step(`step ${i}`, async (step) => {
        note(`${ctx.runId} ${i} ${step.idempotencyKey}`);
        await new Promise((resolve) => setTimeout(resolve, input.pauseMs));
        return i * i;
      });
      results.push(result);
    }
    return results;
  },
);

const charge = defineWorkflow({ id: "charge" }, async (ctx, input: { pauseMs: number }) => {
  const payment = await ctx.step(
    "charge",
    async (step) => {
      note(`charge ${step.idempotencyKey}`);
      await new Promise((resolve) => setTimeout(resolve, input.pauseMs));
      return { paid: true };
    },
    {
      effect: "once",
      input: { amount: 5 },
      fenced: true,
      verify: (_input, key) => {
        note(`verify ${key}`);
        return ctx.runId === "" ? notDone : done({ paid: true });
      },
    },
  );
  return payment;
});

const busy = defineWorkflow({ id: "busy" }, async (ctx, input: { blockMs: number }) => {
  await ctx.step("block", () => {
    const end = Date.now() + input.blockMs;
    while (Date.now() < end);
    return "done";
  });
  return ctx.step("after", () => "after");
});

const waits = defineWorkflow({ id: "waits" }, async (ctx) => {
  await ctx.sleep("3500ms");
  const answer = await ctx.ask("Go on?");
  const signal = await ctx.waitForSignal<{ n: number }>("go");
  return { approved: answer.approved, n: signal.payload.n };
});

await serve({ definitions: [chain, charge, busy, waits] });
