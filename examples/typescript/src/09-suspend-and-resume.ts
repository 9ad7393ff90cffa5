// A run waits for a person: rows in the store, no thread, no memory. Here the program itself answers.
import { Client, defineWorkflow } from "@polos/sdk";
import { z } from "zod";

const Review = z.object({ ship: z.boolean(), note: z.string() });

const release = defineWorkflow({ id: "release" }, async (ctx, version: string) => {
  const review = await ctx.ask(`Ship ${version}?`, { form: Review, timeout: "24h" });
  return review.ship ? `shipped ${version}: ${review.note}` : `held ${version}`;
});

const run = await release.start("1.2.0");
const client = new Client();
for (;;) {
  const { items } = await client.approvals({ run: run.id, state: "pending" });
  const [question] = items;
  if (!question) {
    await new Promise((resolve) => setTimeout(resolve, 50));
    continue;
  }
  console.log(question.title);
  await client.decide(question.id, { approved: true, value: { ship: true, note: "looks good" } });
  break;
}
console.log(await run.output());
