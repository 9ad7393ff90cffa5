"""One agent chooses which other one answers."""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel

from polos import Agent, WorkflowContext, workflow

REPLIES = str(Path(__file__).with_suffix(".toml"))


class Route(BaseModel):
    to: Literal["billing", "support"]


router = Agent("router", provider="scripted", script=REPLIES, output_type=Route)
desks = {name: Agent(name, provider="scripted", script=REPLIES) for name in ("billing", "support")}


@workflow
async def answer(ctx: WorkflowContext, question: str) -> str:
    route = await ctx.call(router, question)
    desk = desks[route.output.to]
    return f"{desk.id}: {(await ctx.call(desk, question)).output}"


if __name__ == "__main__":
    print(answer.run_sync("My invoice is wrong"))
