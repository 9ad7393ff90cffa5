"""How a served worker is told to stop: by signals, which end its process in any case."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import threading
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any

log = logging.getLogger("polos.worker")

_GRACE = 5.0
"""How long the process may take to end after the drain's time limit."""
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stop:
    """Takes SIGINT and SIGTERM while it is entered. The first signal drains the worker, the second
    one stops it at once, and further ones do what they did before.

    The user's code may block the event loop, or swallow its cancellation, and a thread cannot be
    stopped at all. So the process is watched from a thread, and ended when its time is over: what
    was under way is in the journal, as after any crash."""

    def __init__(self) -> None:
        self._acts: list[tuple[float, Callable[[], None]]] = []
        self._before: dict[int, Any] = {}
        self._watch: threading.Timer | None = None

    def __enter__(self) -> Stop:
        # Not by the event loop's own means: these work while it is blocked, too.
        with contextlib.suppress(ValueError):  # Signals reach the main thread alone.
            for number in _SIGNALS:
                self._before[number] = signal.signal(number, self._take)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._give_back()
        if self._watch is not None:
            self._watch.cancel()

    def by(self, drain: Callable[[], None], drain_s: float, end: Callable[[], None]) -> None:
        """What the signals do, called between any two instructions of the main thread."""
        self._acts = [(drain_s, drain), (0.0, end)]

    def _take(self, number: int, frame: FrameType | None) -> None:
        if not self._acts:  # There is nothing to stop yet.
            self._give_back()
            signal.raise_signal(number)
            return
        limit_s, act = self._acts.pop(0)
        if not self._acts:
            self._give_back()
        if self._watch is not None:
            self._watch.cancel()
        self._watch = threading.Timer(limit_s + _GRACE, _end, (number,))
        self._watch.daemon = True
        self._watch.start()
        act()

    def _give_back(self) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)
        self._before.clear()


def _end(number: int) -> None:
    log.error("the worker's code did not end in time: the process is ended without it")
    os._exit(128 + number)
