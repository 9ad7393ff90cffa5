// A step is tried again as its retry says. Used up, its error is thrown in the workflow, which may
// go another way. A `once` step is never blindly repeated: it is asked about instead.
import { defineWorkflow, NotDone, StepFailed } from "@polos/sdk";
const fetchRate = defineWorkflow({ id: "fetch-rate" }, async (ctx) => {
    const flaky = await ctx.step("flaky", (step) => {
        if (step.attempt < 3)
            throw new Error(`attempt ${step.attempt} failed`);
        return `ok at attempt ${step.attempt}`;
    }, { retry: { attempts: 5, initialMs: 10 } });
    const fallback = await ctx
        .step("down", () => {
        throw new Error("nobody answers");
    }, { retry: false })
        .catch((error) => error instanceof StepFailed ? `used a default: ${error.message}` : "");
    const mail = await ctx.step("mail", (step) => {
        // Surely nothing was sent yet, so that trying again is safe.
        if (step.attempt === 1)
            throw new NotDone("no connection");
        return `sent once, key ${step.idempotencyKey.slice(0, 6)}…`;
    }, { effect: "once", retry: { attempts: 2, initialMs: 10 } });
    return [flaky, fallback, mail];
});
for (const line of await fetchRate.run())
    console.log(line);
