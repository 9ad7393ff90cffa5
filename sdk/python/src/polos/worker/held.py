"""The runs in memory, how far each knows its journal, and which of them wait: what hello says. The
user's event loop writes it, the connection's thread reads it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(slots=True, eq=False)
class Standing:
    """Where one run stands, as its task last left it. Each field is set at once, by one thread."""

    assignment: int
    seq: int | None = None
    """Up to where the journal is known; `None` until the run's task has begun."""
    read: int = 0
    """How many `append` frames the connection has read for it."""
    waiting: tuple[int, dict[str, Any]] | None = None
    """How many of those frames it had taken in, and what it waited for then."""
    is_gone: bool = False
    """The connection has read that the run is this worker's no more. Its task may not have got so
    far: code that hung must begin nothing when it goes on."""

    def leave(self, seq: int, taken: int, wait: dict[str, Any] | None) -> None:
        """The task has let its code run as far as it goes, with so many `append` frames taken in."""
        self.seq = seq
        self.waiting = None if wait is None else (taken, wait)

    def told(self, run: str) -> dict[str, Any]:
        """What hello says of it."""
        held: dict[str, Any] = {"run": run, "assignment": self.assignment, "seq": self.seq}
        waiting = self.waiting
        # If more was read since, it may have gone on.
        if waiting is not None and waiting[0] == self.read:
            held["wait"] = waiting[1]
        return held


class Held:
    """The runs of a worker."""

    def __init__(self) -> None:
        self._runs: dict[str, Standing] = {}

    def hold(self, run: str, assignment: int) -> Standing:
        """The standing of a run whose task begins."""
        standing = self._of(run, assignment)
        if standing is None:
            standing = self._runs[run] = Standing(assignment)
        return standing

    def drop(self, run: str, assignment: int) -> None:
        """A run has left."""
        if self._of(run, assignment) is not None:
            del self._runs[run]

    def _of(self, run: str, assignment: int) -> Standing | None:
        standing = self._runs.get(run)
        return standing if standing is not None and standing.assignment == assignment else None

    def read(self, kind: str, body: dict[str, Any]) -> None:
        """The connection has read a frame: an `append` may let its run go on from now on."""
        if kind == "start":
            self._runs[body["run"]] = Standing(body["assignment"])
        elif kind in ("append", "done", "revoked"):
            standing = self._of(body["run"], body["assignment"])
            if standing is not None and kind == "append":
                standing.read += 1
            elif standing is not None:
                standing.is_gone = True

    def kept(self, welcome: dict[str, Any]) -> None:
        """A server has welcomed the worker: the runs that it does not name are the worker's no
        more."""
        kept = {one["run"]: one["assignment"] for one in welcome.get("kept", [])}
        for run, standing in self._runs.copy().items():
            if kept.get(run) != standing.assignment:
                standing.is_gone = True

    def list(self) -> list[dict[str, Any]]:
        """The runs whose tasks have begun; the others are forgotten with their connection."""
        runs = self._runs.copy().items()
        return [standing.told(run) for run, standing in runs if standing.seq is not None]
