"""The runs of a worker: frames are handed to them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from polos import limits
from polos.replay.machine import Settings
from polos.replay.run import Run
from polos.replay.wire import Frame
from polos.value import dumps
from polos.worker.askers import Askers
from polos.worker.clock import Clock
from polos.worker.held import Held
from polos.worker.outbox import Outbox
from polos.worker.task import RunTask
from polos.workflow import Workflow

log = logging.getLogger("polos.worker")


@dataclass(slots=True)
class Shared:
    """What all runs of a worker share."""

    outbox: Outbox
    clock: Clock
    held: Held = field(default_factory=Held)
    """Where each run stands, for the connection."""
    askers: Askers = field(default_factory=Askers)
    """Who waits for which value."""
    stopping: set[asyncio.Task[None]] = field(default_factory=set[asyncio.Task[None]])
    """Effects that were told to stop and have not ended."""


class Runs:
    """All runs in memory. Used on the user's event loop alone."""

    def __init__(
        self, shared: Shared, workflows: dict[str, Workflow[Any, Any]], build: str
    ) -> None:
        self._shared = shared
        self._workflows = workflows
        self._build = build
        self._connection = 0
        self._hot_ms = limits.HOT_MS
        self.tasks: dict[str, RunTask] = {}
        self.is_draining = False
        self.emptied: Callable[[], None] = lambda: None
        """Called whenever a run has left."""

    def welcomed(self, connection: int, welcome: dict[str, Any]) -> None:
        """The connection of this number stands."""
        self._connection = connection
        self._hot_ms = welcome["hot_ms"]
        kept = {one["run"]: one for one in welcome.get("kept", [])}
        for run, task in list(self.tasks.items()):
            mine = kept.get(run)
            if mine is not None and mine["assignment"] == task.assignment:
                task.attached(connection, mine)
            else:
                task.note(lambda run: run.done())
        if self.is_draining:
            self._shared.outbox.now('{"type":"drain","body":{}}')

    def detached(self) -> None:
        """The connection is gone."""
        for task in list(self.tasks.values()):
            task.note(lambda run: run.detached())

    def lease_lost(self) -> None:
        """Nothing was heard for the lease."""
        for task in list(self.tasks.values()):
            task.lose_lease()

    def frame(self, kind: str, body: dict[str, Any]) -> None:
        """A frame of the server's."""
        if kind == "start":
            self._start(body)
        elif kind == "append":
            task = self._task(body)
            if task is not None:
                task.append(body)
        elif kind == "recorded":
            self._recorded(body)
        elif kind == "done":
            self._tell(body, lambda run: run.done())
        elif kind == "revoked":
            log.warning("run %s was taken away: %s", body["run"], body["message"])
            self._tell(body, lambda run: run.done())
        elif kind == "blob":
            last = body["offset"] + len(body["text"].encode()) >= body["size"]
            askers = self._shared.askers
            runs = askers.piece(body["hash"], is_first=body["offset"] == 0, is_last=last)
            for task in self._tasks(runs):
                task.note(lambda run: run.blob(body))
        elif kind == "stored":
            for task in self._tasks(self._shared.askers.kept(body["hash"])):
                task.note(lambda run: run.stored(body["hash"]))
        elif kind == "drain":
            self.drain()
        else:
            log.error("unknown frame `%s`: the two sides speak different versions", kind)

    def _task(self, reference: dict[str, Any]) -> RunTask | None:
        task = self.tasks.get(reference["run"])
        return task if task is not None and task.assignment == reference["assignment"] else None

    def _tell(self, reference: dict[str, Any], take: Callable[[Run], None]) -> None:
        task = self._task(reference)
        if task is not None:
            task.note(take)

    def _recorded(self, body: dict[str, Any]) -> None:
        at: int = body["at"]
        clock = self._shared.clock
        clock.at_least(at)
        for number, assignment, n, seq in body["runs"]:
            task = self.tasks.get(number)
            if task is not None and task.assignment == assignment:
                task.note(lambda run, n=n, seq=seq: run.recorded(n, seq, at, clock.now()))

    def _tasks(self, runs: list[str]) -> list[RunTask]:
        return [self.tasks[run] for run in runs if run in self.tasks]

    def _start(self, start: dict[str, Any]) -> None:
        run: str = start["run"]
        assignment: int = start["assignment"]
        self._shared.clock.at_least(start["now"])
        workflow = self._workflows.get(start["workflow"])
        if workflow is None or self.is_draining:
            released = Frame("release", dumps({"run": run, "assignment": assignment}))
            self._shared.outbox.frame(self._connection, released)
            self._shared.held.drop(run, assignment)
            return
        old = self.tasks.pop(run, None)
        if old is not None:
            old.close()

        def send(key: str, attempt: int, kind: str, data: str) -> None:
            item = (
                f'{{"key":{dumps(key)},"attempt":{attempt},"kind":{dumps(kind)},'
                f'"data":{{"v":{data}}}}}'
            )
            self._shared.outbox.stream(run, assignment, item)

        settings = Settings(self._build, hot_ms=self._hot_ms)
        code = Run(start, workflow.body(send), settings, self._shared.clock.now())

        def ended() -> None:
            if self.tasks.get(run) is task:
                del self.tasks[run]
            self._shared.held.drop(run, assignment)
            self.emptied()

        task = RunTask(code, self._shared, self._connection, send, ended)
        self.tasks[run] = task
        task.want_turn()

    def drain(self) -> None:
        """No new runs: waiting ones are parked, the others after their steps."""
        if not self.is_draining:
            self.is_draining = True
            log.info("draining %d runs", len(self.tasks))
            self._shared.outbox.now('{"type":"drain","body":{}}')
        for task in list(self.tasks.values()):
            task.note(lambda run: run.drain())
        self.emptied()

    def close(self) -> None:
        """Stops everything at once."""
        for task in list(self.tasks.values()):
            task.close()
        self.tasks.clear()
