"""Queues: how many runs may go at once, in all and per concurrency key."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Queue:
    """A queue of runs. A worker whose definitions name it declares it to the server."""

    name: str
    concurrency: int | None = None
    """How many runs may run at once; no limit if `None`."""
    concurrency_per_key: int | None = None
    """How many runs of one concurrency key may run at once."""
    hold: bool = False
    """True if runs keep their slot while they wait."""

    @property
    def is_declared(self) -> bool:
        """True if it says more than its name."""
        return self != Queue(self.name)

    def to_json(self) -> dict[str, Any]:
        """The form in which it is sent."""
        fields: dict[str, Any] = {
            "name": self.name,
            "concurrency": self.concurrency,
            "concurrency_per_key": self.concurrency_per_key,
            "hold": self.hold or None,
        }
        return {name: value for name, value in fields.items() if value is not None}
