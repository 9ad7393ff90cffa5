"""The server's time, by this machine's steady clock, and the lease. The clock goes on while the
machine sleeps: a worker that wakes must not believe in a lease that ended meanwhile."""

from __future__ import annotations

import sys
import time

if sys.platform == "linux":

    def _steady() -> float:
        """Seconds since boot, sleep included."""
        return time.clock_gettime(time.CLOCK_BOOTTIME)

else:
    _steady = time.monotonic


class Clock:
    """Shared by the connection's thread and the runs. Each field is one number, set at once."""

    def __init__(self) -> None:
        self._base = _steady()
        self._base_ms = time.time() * 1000
        """The server's time at `base`; before the first `welcome` this machine's."""
        self._lease_end = self._base
        self._lost = False
        """The lease was lost and no `welcome` has come since."""

    def _elapsed_ms(self) -> float:
        return (_steady() - self._base) * 1000

    def now(self) -> int:
        """The server's time."""
        return int(self._base_ms + self._elapsed_ms())

    def set(self, server_ms: int) -> None:
        """The server has said what time it is."""
        self._base_ms = server_ms - self._elapsed_ms()

    def at_least(self, server_ms: int) -> None:
        """The server's time is surely not before this."""
        if server_ms > self.now():
            self.set(server_ms)

    def seconds_until(self, at_ms: int) -> float:
        """How long to wait until a time of the server."""
        return max(at_ms - self.now(), 0) / 1000

    def heard(self, lease_ms: int) -> None:
        """The server has been heard."""
        self._lease_end = _steady() + lease_ms / 1000

    def welcomed(self, lease_ms: int) -> None:
        """`welcome` has come: the lease begins anew."""
        self.heard(lease_ms)
        self._lost = False

    @property
    def is_leased(self) -> bool:
        """True while effects may begin. Once lost, only a `welcome` brings it back."""
        if _steady() >= self._lease_end:
            self._lost = True
        return not self._lost

    @property
    def lease_left(self) -> float:
        """How many seconds the lease still lasts."""
        return max(self._lease_end - _steady(), 0.0)
