"""A workflow that blocks the event loop for longer than its lease keeps its run."""

from __future__ import annotations

import asyncio
import time

from polos import Client, Server, Worker, WorkflowContext, workflow

BLOCKED_S = 14
"""Longer than the lease of 10 s, and than four pings."""


def note() -> str:
    return "noted"


@workflow(id="busy")
async def busy(ctx: WorkflowContext) -> str:
    await ctx.step("before", note)
    time.sleep(BLOCKED_S)  # noqa: ASYNC251, this is what is tested
    return await ctx.step("after", note)


async def test_a_blocked_event_loop_keeps_its_run(server: Server) -> None:
    address = server.address
    async with Client(address.url, address.token) as client:
        worker = Worker([busy], url=address.url, token=address.token)
        serving = asyncio.create_task(worker.run())
        run = await client.start(busy)
        assert await run.result() == "noted"
        detail = await run.detail()
        assert detail["assignment"] == 1, "the run went to another assignment"
        journal = await client.journal(run.run_id)
        records = [
            (one["record"]["record"]["kind"], one["record"]["record"]["key"]) for one in journal
        ]
        assert records == [("step", "before"), ("step", "after")]
        worker.drain()
        await serving
