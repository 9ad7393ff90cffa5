/** A program that knows no server: it runs a workflow, and prints its output. */

import { defineWorkflow } from "@polos/sdk";

const greet = defineWorkflow({ id: "greet" }, async (ctx, name: string) => {
  const greeting = await ctx.step("greet", () => `Hello, ${name}!`);
  await ctx.sleep(10);
  return greeting;
});

const inner = defineWorkflow({ id: "inner" }, (ctx) => ctx.step("n", () => 41));

const key = process.argv[2];
process.stdout.write(`${await greet.run("Ada", key ? { key } : {})}\n`);
process.stdout.write(`${(await inner.run()) + 1}\n`);
