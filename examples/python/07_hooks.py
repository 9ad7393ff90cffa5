"""Functions that are told of a beginning and an end."""

from pathlib import Path
from typing import Any

from polos import Agent

REPLIES = str(Path(__file__).with_suffix(".toml"))


def begins(input: Any) -> None:
    print(f"asked: {input}")


def ends(output: Any) -> None:
    print(f"answered: {output}")


watched = Agent("watched", provider="scripted", script=REPLIES, on_start=begins, on_end=ends)

if __name__ == "__main__":
    watched.run_sync("Are you there?")
