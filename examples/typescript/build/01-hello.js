// A workflow is an async function; each piece of work with an effect is a step. No server needs to
// run: the program starts one, over the folder `.polos`.
import { defineWorkflow } from "@polos/sdk";
const hello = defineWorkflow({ id: "hello" }, async (ctx, name) => {
    const greeting = await ctx.step("greet", () => `Hello, ${name}!`);
    await ctx.sleep("50ms");
    return greeting;
});
console.log(await hello.run("Ada"));
