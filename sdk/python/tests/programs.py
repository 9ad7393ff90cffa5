"""A worker of its own process for the tests: `python programs.py LOG`."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from polos import WorkflowContext, serve, workflow

LOG = Path(sys.argv[1]) if len(sys.argv) > 1 else Path("log")


def note(line: str) -> str:
    """One line in the log is one effect."""
    with LOG.open("a") as log:
        log.write(line + "\n")
    return line


def slow(line: str) -> str:
    note(f"begin {line}")
    time.sleep(1.5)
    return note(line)


@workflow
async def three(ctx: WorkflowContext, name: str) -> list[str]:
    first = await ctx.step("first", note, f"{name} 1")
    second = await ctx.step("second", slow, f"{name} 2")
    third = await ctx.step("third", note, f"{name} 3")
    return [first, second, third]


if __name__ == "__main__":
    serve()
