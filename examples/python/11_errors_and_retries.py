"""What is tried again, what is not, and how to undo."""

from polos import Retry, StepError, TerminalError, WorkflowContext, current_step, step, workflow


@step(retry=Retry(attempts=3, initial="50ms"))
async def flaky() -> str:
    if current_step().attempt < 3:
        raise ConnectionError("the line is busy")
    return f"attempt {current_step().attempt} worked"


async def book() -> str:
    return "seat 12"


async def pay() -> None:
    raise TerminalError("the card is declined", code="declined")


async def cancel(seat: str) -> str:
    return f"{seat} is free again"


@workflow
async def travel(ctx: WorkflowContext) -> list[str]:
    said = [await ctx.step("call", flaky)]
    seat = await ctx.step("book", book)
    try:
        await ctx.step("pay", pay)
    except StepError as error:
        said += [error.code, await ctx.step("cancel", cancel, seat)]
    return said


if __name__ == "__main__":
    print("\n".join(travel.run_sync()))
