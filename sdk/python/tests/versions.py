"""A worker whose code is of one of several versions, in a process of its own:
`python versions.py CODE LEDGER`."""

from __future__ import annotations

import sys
from pathlib import Path

from polos import TerminalError, WorkflowContext, serve, step, workflow

CODE = sys.argv[1]
LEDGER = Path(sys.argv[2])


def note(name: str, size: int = 0) -> str:
    with LEDGER.open("a") as ledger:
        ledger.write(name + "\n")
    return "x" * size


@step(effect="once")
def charge() -> None:
    note("charge")


@workflow(id="versions.order")
async def order(ctx: WorkflowContext, given: list[int]) -> int:
    steps, size = given
    reserved = [await ctx.step("reserve", note, "reserve", size) for _ in range(steps)]
    is_new = CODE == "inserted" or (CODE == "patched" and ctx.patched("audit"))
    if is_new:
        await ctx.step("audit", note, "audit")
    await ctx.step("pay" if CODE == "renamed" else "charge", charge)
    if CODE == "raises":
        raise TerminalError("the new code is broken")
    await ctx.ask("Ship it?", name="ship")
    return sum(len(one) for one in reserved)


if __name__ == "__main__":
    serve(build=CODE)
