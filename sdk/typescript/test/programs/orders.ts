/** The order with a fraud review, as the documentation has it, against a counting fake. */

import { appendFileSync, existsSync, readFileSync } from "node:fs";
import { defineWorkflow, done, notDone, serve } from "@polos/sdk";
import { z } from "zod";

const ledger = process.env.LEDGER ?? "/dev/null";

const Order = z.object({ id: z.string(), total: z.number() });
const Review = z.object({ fraud: z.boolean() });
type Order = z.infer<typeof Order>;

interface Charge {
  id: string;
  amount: number;
}

/** Charges cards; says where it was killed that it has charged, and knows its keys. */
const stripe = {
  async charge(
    amount: number,
    options: { idempotencyKey: string; signal: AbortSignal },
  ): Promise<Charge> {
    const before = this.find(options.idempotencyKey);
    if (before) return before;
    appendFileSync(ledger, `${options.idempotencyKey} ${amount}\n`);
    if (process.env.DIE === "after_charge") process.kill(process.pid, "SIGKILL");
    return { id: options.idempotencyKey, amount };
  },
  find(key: string): Charge | undefined {
    if (!existsSync(ledger)) return undefined;
    const line = readFileSync(ledger, "utf8")
      .split("\n")
      .find((one) => one.startsWith(key));
    return line === undefined ? undefined : { id: key, amount: Number(line.split(" ")[1]) };
  },
};

const findCharge = (_order: Order, key: string) => {
  const charge = stripe.find(key);
  return charge ? done(charge) : notDone;
};

const ship = (order: Order, payment: Charge) => `shipped ${order.id} for ${payment.amount}`;
const refund = (order: Order, payment: Charge) => `refunded ${order.id}: ${payment.amount}`;

export const fulfil = defineWorkflow({ id: "fulfil", input: Order }, async (ctx, order) => {
  const payment = await ctx.step(
    "charge",
    (s) => stripe.charge(order.total, { idempotencyKey: s.idempotencyKey, signal: s.signal }),
    { effect: "once", input: order, verify: findCharge, retry: { attempts: 5 } },
  );
  const review = await ctx.ask("Is this fraud?", { form: Review, timeout: "24h" });
  return ctx.step("finish", () => (review.fraud ? refund : ship)(order, payment));
});

await serve({ definitions: [fulfil] });
