// Branches run side by side, each with keys of its own; a race gives up its losers.
import { defineWorkflow } from "@polos/sdk";
const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const review = defineWorkflow({ id: "review" }, async (ctx, files) => {
    const notes = await ctx.map("files", files, (own, file) => own.step("read", () => `${file}: ${file.length} letters`));
    const { style, tests } = await ctx.all({
        style: ctx.step("style", () => "tidy"),
        tests: (own) => own.step("tests", async () => "green"),
    });
    const fastest = await ctx.race({
        quick: ctx.step("ask quick", () => "looks fine"),
        thorough: ctx.step("ask thorough", async () => {
            await wait(5_000);
            return "found nothing";
        }),
    });
    return [...notes, style, tests, `${fastest.winner} won: ${fastest.value}`];
});
for (const line of await review.run(["a.ts", "bcd.ts"]))
    console.log(line);
