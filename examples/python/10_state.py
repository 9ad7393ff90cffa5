"""State is plain Python: a replay makes it again."""

from dataclasses import dataclass, field

from polos import WorkflowContext, workflow


@dataclass
class Cart:
    items: list[str] = field(default_factory=list[str])


def find(name: str) -> str:
    return name.title()


async def add(ctx: WorkflowContext, name: str) -> None:
    cart = ctx.state(Cart)
    cart.items.append(await ctx.step("find", find, name))


@workflow
async def shopping(ctx: WorkflowContext) -> list[str]:
    for name in ("tea", "milk"):
        await add(ctx, name)
    return ctx.state(Cart).items


if __name__ == "__main__":
    print(shopping.run_sync())
