"""An event is kept until somebody waits for it, and each run sees it once."""

import asyncio

from polos import WorkflowContext, local, workflow


@workflow
async def watch(ctx: WorkflowContext, topic: str) -> list[int]:
    first = await ctx.wait_for_event(topic, int, timeout="1m")
    second = await ctx.wait_for_event(topic, int, timeout="1m")
    await ctx.publish(f"{topic}/sum", first.payload + second.payload)
    return [first.payload, second.payload]


async def main() -> None:
    run = await watch.start("numbers")
    for number in (20, 22):
        await run.client.publish("numbers", number)
    print(await run.result())
    await local.close()


if __name__ == "__main__":
    asyncio.run(main())
