// A run waits for an event or a signal; what comes before anyone waits is kept.
import { Client, defineWorkflow } from "@polos/sdk";
import { z } from "zod";
const Paid = z.object({ amount: z.number() });
const order = defineWorkflow({ id: "order" }, async (ctx) => {
    const { payload } = await ctx.waitForSignal("paid", { schema: Paid, timeout: "1h" });
    await ctx.publish("receipts", { amount: payload.amount });
    return `paid ${payload.amount}`;
});
const run = await order.start();
await new Client().publish("paid", { amount: 12 }, { run: run.id });
console.log(await run.output());
