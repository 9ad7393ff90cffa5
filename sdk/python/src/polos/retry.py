"""When and how often a failed attempt is made again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from polos.duration import Duration, milliseconds


@dataclass(frozen=True, slots=True)
class Retry:
    """How often a step is tried, and how long to wait in between.

    >>> Retry(attempts=10, max="1m").attempts
    10
    """

    attempts: int = 5
    """How many attempts there are in all; 1 for no retry."""
    initial: Duration = 0.5
    """The wait after the first failed attempt."""
    factor: float = 2.0
    """By what the wait grows after each further one."""
    max: Duration = 30
    """The longest wait. What the other side asks for (`RetryAfter`) may exceed it."""
    jitter: float = 0.2
    """The share of the wait, from 0 to 1, that is drawn (from the run's seed) instead of fixed."""
    not_on: Sequence[str | type[BaseException]] = field(default=())
    """Codes of errors, or types of exceptions, that are not tried again."""

    def __post_init__(self) -> None:
        if self.attempts < 1:
            raise ValueError("`attempts` is at least 1: the first attempt counts")
        milliseconds(self.initial)
        milliseconds(self.max)

    def is_hopeless(self, error: BaseException) -> bool:
        """True if an exception is of a type that is not tried again."""
        types = tuple(refused for refused in self.not_on if isinstance(refused, type))
        return isinstance(error, types)

    def delay_ms(self, attempt: int, unit: float, hint_ms: int | None) -> int:
        """The wait after failed attempt `attempt` (from 1); `unit` in 0..1 decides the jitter."""
        growth = max(self.factor, 1.0) ** min(attempt - 1, 64)
        full = int(min(milliseconds(self.initial) * growth, milliseconds(self.max)))
        jitter = min(max(self.jitter, 0.0), 1.0)
        return max(int(full * (1.0 - jitter * unit)), hint_ms or 0)


NO_RETRY = Retry(attempts=1)
"""One attempt only."""
