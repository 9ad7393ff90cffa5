"""Many alike, some at a time; each item's steps have a scope of their own."""

from polos import WorkflowContext, workflow

FILES = {"a.py": "x = 1", "b.py": "TODO", "c.py": "y = 2  # TODO"}


async def read(name: str) -> str:
    return FILES[name]


def judge(name: str, text: str) -> str:
    return f"{name}: {'unfinished' if 'TODO' in text else 'good'}"


@workflow
async def review(ctx: WorkflowContext, names: list[str]) -> list[str]:
    async def one(name: str) -> str:
        text = await ctx.step("read", read, name)
        return await ctx.step("judge", judge, name, text)

    return await ctx.map("review", one, names, key=str, concurrency=2)


if __name__ == "__main__":
    print("\n".join(review.run_sync(list(FILES))))
