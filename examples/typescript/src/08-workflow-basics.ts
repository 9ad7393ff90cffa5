// Inputs are checked by a schema; workflows call workflows; the same key is the same run.
import { defineWorkflow } from "@polos/sdk";
import { z } from "zod";

const Item = z.object({ name: z.string(), price: z.number().positive() });

const tax = defineWorkflow({ id: "tax" }, (ctx, amount: number) =>
  ctx.step("rate", () => Math.round(amount * 0.2)),
);

const quote = defineWorkflow({ id: "quote", input: z.array(Item) }, async (ctx, items) => {
  const net = items.reduce((sum, { price }) => sum + price, 0);
  return { net, tax: await ctx.call(tax, net), id: ctx.uuid().length };
});

const first = await quote.start([{ name: "tea", price: 5 }], { key: "quote-1" });
const again = await quote.start([{ name: "tea", price: 5 }], { key: "quote-1" });
console.log(await first.output(), first.id === again.id);
await quote.run([{ name: "tea", price: -1 }]).catch((error: Error) => console.log(error.message));
