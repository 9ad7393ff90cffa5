"""A worker of its own process whose code does not end: `python stubborn.py MARK`."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from pathlib import Path

from polos import WorkflowContext, serve, workflow

MARK = Path(sys.argv[1])
FOR_EVER_S = 3600
DRAIN_S = 1.0


def blocks() -> None:
    MARK.touch()
    time.sleep(FOR_EVER_S)


async def is_deaf() -> None:
    MARK.touch()  # noqa: ASYNC240
    while True:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(FOR_EVER_S)


@workflow(id="stubborn.waits")
async def waits(ctx: WorkflowContext) -> None:
    await ctx.step("mark", MARK.touch)
    await ctx.wait_for_event("never")


@workflow(id="stubborn.thread")
async def in_a_thread(ctx: WorkflowContext) -> None:
    await ctx.step("blocks", blocks)


@workflow(id="stubborn.task")
async def in_a_task(ctx: WorkflowContext) -> None:
    await ctx.step("deaf", is_deaf)


@workflow(id="stubborn.loop")
async def in_the_loop(ctx: WorkflowContext) -> None:
    blocks()


if __name__ == "__main__":
    serve(drain_timeout=DRAIN_S)
