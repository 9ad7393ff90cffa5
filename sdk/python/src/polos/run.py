"""How a run is to run, and what it gave."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Generic, TypeVar

from polos.duration import Duration, milliseconds

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class RunOptions:
    """How a run is to run, from whoever starts it."""

    queue: str | None = None
    """The queue; by default the definition's, else `default`."""
    concurrency_key: str | None = None
    priority: int = 0
    """Higher goes first."""
    labels: Mapping[str, str] = field(default_factory=dict[str, str])
    deadline: datetime | None = None
    """The run must have ended by this time."""
    timeout: Duration | None = None
    """How long the run may take, not counting the time spent waiting for a person."""
    session: str | None = None
    """The conversation it belongs to."""
    placement: str | None = None
    """What must be near: the worker that holds this key, such as a sandbox."""
    placement_required: bool = False
    pin: bool = False
    """Keeps the run to the build that starts it."""
    traceparent: str | None = None

    def to_json(self) -> dict[str, Any]:
        """The form in which they are sent."""
        options: dict[str, Any] = {
            "queue": self.queue,
            "concurrency_key": self.concurrency_key,
            "priority": self.priority or None,
            "labels": dict(self.labels) or None,
            "deadline_ms": None if self.deadline is None else epoch_ms(self.deadline),
            "timeout_ms": None if self.timeout is None else milliseconds(self.timeout),
            "session": self.session,
            "pin": self.pin or None,
            "traceparent": self.traceparent,
        }
        if self.placement is not None:
            options["placement"] = {"key": self.placement, "require": self.placement_required}
        return {name: value for name, value in options.items() if value is not None}


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens in and out, over all calls of models."""

    tokens_in: int = 0
    tokens_out: int = 0


@dataclass(frozen=True, slots=True)
class RunResult(Generic[T]):
    """What an agent's run gave, and what it took."""

    output: T
    run_id: str
    usage: Usage
    cost: float | None
    """In US dollars, where the model's price is known."""


def epoch_ms(moment: datetime) -> int:
    """A moment in milliseconds since the epoch; one without a time zone is refused."""
    if moment.tzinfo is None:
        raise ValueError(
            f"`{moment}` has no time zone: use `datetime.now(timezone.utc)` and the like"
        )
    return round(moment.timestamp() * 1000)
