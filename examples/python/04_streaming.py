"""Words as they come."""

import asyncio
from pathlib import Path

from polos import Agent, local

REPLIES = str(Path(__file__).with_suffix(".toml"))

teller = Agent("teller", provider="scripted", script=REPLIES)


async def main() -> None:
    stream = teller.stream("Tell me a story")
    async for event in stream:
        if event.kind == "text":
            print(event.data, end="", flush=True)
    print()
    result = await stream.result()
    print(f"{len(result.output.split())} words")
    await local.close()


if __name__ == "__main__":
    asyncio.run(main())
