"""Steps, branches, a race, and another workflow."""

from polos import WorkflowContext, workflow


async def price(item: str) -> int:
    return len(item)


@workflow
async def discount(ctx: WorkflowContext, total: int) -> int:
    return total - total // 10


@workflow
async def quote(ctx: WorkflowContext, items: list[str]) -> str:
    first, second = await ctx.gather(
        ctx.step("first", price, items[0]), ctx.step("second", price, items[1])
    )
    rest = await ctx.map("rest", lambda item: ctx.step("price", price, item), items[2:])
    total = await discount.run(first + second + sum(rest))
    index, _ = await ctx.race(ctx.step("quick", price, "x"), ctx.sleep("1h"))
    return f"{total} in all, and branch {index} was quicker"


if __name__ == "__main__":
    print(quote.run_sync(["apple", "banana", "cherry", "fig"]))
