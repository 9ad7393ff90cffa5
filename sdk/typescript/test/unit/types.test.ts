/** What users need not annotate. `npm run types` is the test; running it only counts. */

import { type } from "arktype";
import * as v from "valibot";
import { expectTypeOf, test } from "vitest";
import { z } from "zod";
import { defineAgent } from "../../src/agent.js";
import type { Context } from "../../src/context/context.js";
import type { Answer } from "../../src/protocol/details.js";
import { done, notDone } from "../../src/step.js";
import { defineTool } from "../../src/tool.js";
import { defineWorkflow } from "../../src/workflow.js";

const Order = z.object({ id: z.string(), total: z.number(), at: z.coerce.date() });
const Answered = z.object({ ok: z.boolean() });
const Review = v.object({ fraud: v.boolean() });

test("inputs and outputs are inferred, from schemas and from functions", () => {
  const fulfil = defineWorkflow({ id: "fulfil", input: Order }, async (ctx, order) => {
    expectTypeOf(order).toEqualTypeOf<{ id: string; total: number; at: Date }>();
    const payment = await ctx.step("charge", async () => ({ paid: order.total }), {
      effect: "once",
      input: order,
      verify: (input, key) => {
        expectTypeOf(input).toEqualTypeOf<{ id: string; total: number; at: Date }>();
        expectTypeOf(key).toBeString();
        return done({ paid: 5 });
      },
      retry: { attempts: 5 },
    });
    expectTypeOf(payment).toEqualTypeOf<{ paid: number }>();
    const review = await ctx.ask("Is this fraud?", { form: Review, timeout: "24h" });
    expectTypeOf(review).toEqualTypeOf<{ fraud: boolean }>();
    expectTypeOf(await ctx.ask("Go on?")).toEqualTypeOf<Answer>();
    return review.fraud ? null : payment;
  });
  type Input = Parameters<typeof fulfil.run>[0];
  expectTypeOf<Input>().toEqualTypeOf<{ id: string; total: number; at: unknown }>();
  expectTypeOf(fulfil.run).returns.resolves.toEqualTypeOf<{ paid: number } | null>();

  const plain = defineWorkflow({ id: "plain" }, (_ctx, input: { n: number }) => input.n);
  expectTypeOf(plain.run).parameter(0).toEqualTypeOf<{ n: number }>();
  expectTypeOf(plain.run).returns.resolves.toEqualTypeOf<number>();
  const none = defineWorkflow({ id: "none" }, (ctx) => ctx.step("s", () => "text"));
  expectTypeOf(none.run).toBeCallableWith();
  expectTypeOf(none.run).returns.resolves.toEqualTypeOf<string>();

  const caller = async (ctx: Context) => {
    expectTypeOf(await ctx.call(plain, { n: 1 })).toEqualTypeOf<number>();
    const handle = await ctx.spawn(plain, { n: 1 });
    expectTypeOf(await handle.output).toEqualTypeOf<number>();
    // @ts-expect-error: the input does not fit
    ctx.call(plain, { n: "1" });
    expectTypeOf(await ctx.call("by name")).toBeUnknown();
  };
  expectTypeOf(caller).toBeFunction();
});

test("branches keep their places, and a race says who won", () => {
  const code = async (ctx: Context) => {
    const both = await ctx.all([ctx.step("a", () => 1), (own) => own.step("b", async () => "b")]);
    expectTypeOf(both).toEqualTypeOf<[number, string]>();
    const named = await ctx.all({ a: ctx.step("a", () => 1), b: ctx.sleep("1s") });
    expectTypeOf(named.a).toEqualTypeOf<number>();
    expectTypeOf(named.b).toBeVoid();
    const won = await ctx.race({ answer: ctx.ask("?"), late: ctx.sleep("1h") });
    if (won.winner === "answer") expectTypeOf(won.value).toEqualTypeOf<Answer>();
    else expectTypeOf(won.value).toBeVoid();
    const first = await ctx.race([ctx.step("a", () => 1), ctx.step("b", () => "b")]);
    if (first.winner === 0) expectTypeOf(first.value).toEqualTypeOf<number>();
    else expectTypeOf(first.value).toEqualTypeOf<string>();
    const sizes = await ctx.map("sizes", ["a", "b"], async (own, item, index) => {
      expectTypeOf(item).toEqualTypeOf<string>();
      return (await own.step("size", () => item.length)) + index;
    });
    expectTypeOf(sizes).toEqualTypeOf<number[]>();
    const event = await ctx.waitForEvent("paid", { schema: Order });
    expectTypeOf(event.payload).toEqualTypeOf<{ id: string; total: number; at: Date }>();
  };
  expectTypeOf(code).toBeFunction();
});

test("tools and agents take schemas of any library", () => {
  const weather = defineTool(
    { id: "weather", description: "Tells it.", input: type({ city: "string" }) },
    ({ city }, step) => {
      expectTypeOf(city).toBeString();
      expectTypeOf(step.signal).toEqualTypeOf<AbortSignal>();
      return city.length;
    },
  );
  const agent = defineAgent({ id: "a", tools: [weather, "ask_user"], output: Answered });
  const { run } = agent;
  expectTypeOf(run).returns.resolves.toHaveProperty("output").toEqualTypeOf<{ ok: boolean }>();
  const plain = defineAgent({ id: "b", tools: [agent] });
  expectTypeOf(plain.run).returns.resolves.toHaveProperty("output").toEqualTypeOf<string>();
});

test("the value of a step is what its function gives, whatever stands beside it", () => {
  interface Charge {
    id: string;
  }
  const find = (_order: { id: string }, key: string) => (key ? done<Charge>({ id: key }) : notDone);
  const charge = (_total: number): Promise<Charge> => Promise.reject(new Error("no"));
  const code = async (ctx: Context) => {
    const options = { effect: "once", input: { id: "o" }, verify: find } as const;
    expectTypeOf(await ctx.step("a", () => charge(1), options)).toEqualTypeOf<Charge>();
    expectTypeOf(await ctx.step("c", async () => {})).toBeVoid();
    // @ts-expect-error: what verify finds must be what the step gives
    ctx.step("d", () => charge(1), { verify: () => done(5) });
  };
  expectTypeOf(code).toBeFunction();
});
