"""What the fake model says: the first reply of a script whose conditions hold.

Reads the same files as the provider `scripted`, so that one script can be told through either.
"""

import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass
class Reply:
    """One turn of the model: its words, then its tool calls."""

    text: str = ""
    tools: list[dict[str, Any]] = field(default_factory=list)


@dataclass
class Asked:
    """A request, freed from its wire."""

    agent: str
    turn: int
    last: str
    every: str


def _words(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else list(value or [])


def _holds(reply: dict[str, Any], asked: Asked) -> bool:
    return (
        reply.get("agent", asked.agent) == asked.agent
        and reply.get("turn", asked.turn) in (asked.turn, "any")
        and all(word in asked.last for word in _words(reply.get("expect")))
        and not any(word in asked.last for word in _words(reply.get("expect_not")))
        and all(word in asked.every for word in _words(reply.get("seen")))
        and not any(word in asked.every for word in _words(reply.get("unseen")))
    )


class Brain:
    """A script, and the words of the system prompts by which its agents are told apart."""

    def __init__(self, script: dict[str, Any], agents: dict[str, str] | None = None) -> None:
        self._replies = script["reply"]
        self._agents = agents or {}

    @classmethod
    def load(cls, path: Path, agents: dict[str, str] | None = None) -> "Brain":
        return cls(tomllib.loads(path.read_text()), agents)

    def agent_of(self, system: str) -> str:
        return next((name for words, name in self._agents.items() if words in system), "")

    def answer(self, asked: Asked) -> Reply:
        for reply in self._replies:
            if _holds(reply, asked):
                return Reply(reply.get("text", ""), reply.get("tools", []))
        raise LookupError(f"no reply for {asked.agent!r}, turn {asked.turn}: {asked.last[-200:]}")
