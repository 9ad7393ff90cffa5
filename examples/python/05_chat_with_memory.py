"""A conversation over many runs."""

import asyncio
from pathlib import Path

from polos import Agent, RunOptions, local

REPLIES = str(Path(__file__).with_suffix(".toml"))

friend = Agent("friend", provider="scripted", script=REPLIES)


async def main() -> None:
    client = await local.client_for(friend)
    session = await client.create_session("A chat")
    options = RunOptions(session=session["id"])
    for said in ("Hello", "I am Ada", "Who am I?"):
        print((await friend.run(said, options=options)).output)
    print(len(await client.turns(session["id"])), "turns")
    await local.close()


if __name__ == "__main__":
    asyncio.run(main())
