"""A run that waits for a person holds no memory, however long it takes."""

import asyncio

from polos import WorkflowContext, local, workflow


@workflow
async def release(ctx: WorkflowContext, version: str) -> str:
    answer = await ctx.ask(f"Release {version}?", timeout="7d")
    return f"{version} is {'out' if answer.approved else 'held back'}: {answer.feedback}"


async def main() -> None:
    run = await release.start("1.2.0")
    client = run.client
    async for event in run.events():
        if event.kind == "state" and event.data["state"] == "waiting":
            break
    print((await run.detail())["state"])
    async for question in client.list_approvals(run=run.run_id, state="pending"):
        print(question["title"])
        await client.decide(question["id"], True, feedback="well done")
    print(await run.result())
    await local.close()


if __name__ == "__main__":
    asyncio.run(main())
