"""A step and a pause."""

from polos import WorkflowContext, workflow


def greeting(name: str) -> str:
    return f"Hello, {name}!"


@workflow
async def hello(ctx: WorkflowContext, name: str) -> str:
    said = await ctx.step("greeting", greeting, name)
    await ctx.sleep("100ms")
    return said


if __name__ == "__main__":
    print(hello.run_sync("Ada"))
