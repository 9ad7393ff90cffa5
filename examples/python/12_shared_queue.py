"""A queue says how many runs may go at once, wherever they were started."""

import asyncio

from polos import Queue, RunOptions, WorkflowContext, local, workflow

printer = Queue("printer", concurrency=1)
busy = 0
most = 0


async def print_out(page: int) -> str:
    global busy, most
    busy += 1
    most = max(most, busy)
    await asyncio.sleep(0.05)
    busy -= 1
    return f"page {page}"


@workflow(queue=printer)
async def job(ctx: WorkflowContext, page: int) -> str:
    return await ctx.step("print", print_out, page)


async def main() -> None:
    runs = [await job.start(page, options=RunOptions(priority=page)) for page in range(4)]
    for run in runs:
        print(await run.result())
    print(f"{most} at once at the most")
    await local.close()


if __name__ == "__main__":
    asyncio.run(main())
