// A charge that never happens twice, and a person who looks for fraud.
import { Client, defineWorkflow, done, notDone } from "@polos/sdk";
import { z } from "zod";

const Order = z.object({ id: z.string(), total: z.number() });
const Review = z.object({ fraud: z.boolean() });
type Order = z.infer<typeof Order>;

/** Stands for the payment provider: it takes an idempotency key, and counts. */
const charges = new Map<string, { id: string; amount: number }>();
const charge = async (amount: number, options: { idempotencyKey: string; signal: AbortSignal }) => {
  const made = charges.get(options.idempotencyKey) ?? { id: `ch_${charges.size + 1}`, amount };
  charges.set(options.idempotencyKey, made);
  return made;
};
const findCharge = (_order: Order, key: string) => {
  const made = charges.get(key);
  return made ? done(made) : notDone;
};

const fulfil = defineWorkflow({ id: "fulfil", input: Order }, async (ctx, order) => {
  const payment = await ctx.step(
    "charge",
    (s) => charge(order.total, { idempotencyKey: s.idempotencyKey, signal: s.signal }),
    { effect: "once", input: order, verify: findCharge, retry: { attempts: 5 } },
  );
  const review = await ctx.ask("Is this fraud?", { form: Review, timeout: "24h" });
  const word = review.fraud ? "refunded" : "shipped";
  return ctx.step("finish", () => `${word} ${order.id} (${payment.id})`);
});

const run = await fulfil.start({ id: "o-1", total: 30 }, { key: "order-o-1" });
const client = new Client();
let question: string | undefined;
while (question === undefined) {
  const { items } = await client.approvals({ run: run.id, state: "pending" });
  question = items[0]?.id;
  await new Promise((resolve) => setTimeout(resolve, 50));
}
await client.decide(question, { approved: true, value: { fraud: false } });
console.log(await run.output(), `- ${charges.size} charge`);
