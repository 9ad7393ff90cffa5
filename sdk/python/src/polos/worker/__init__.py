"""The worker: connects to a server, takes runs, runs their code and their steps."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import os
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from polos import ids
from polos.address import Address
from polos.duration import Duration, milliseconds
from polos.errors import PolosError
from polos.version import VERSION
from polos.worker.clock import Clock
from polos.worker.connection import Connection
from polos.worker.host import host
from polos.worker.outbox import Outbox
from polos.worker.rehearse import VARIABLE, rehearse
from polos.worker.runs import Runs, Shared
from polos.worker.stop import Stop
from polos.workflow import Workflow, registered

log = logging.getLogger("polos.worker")

SLOTS = 100
"""How many runs a worker takes at once unless it says otherwise."""
_PAGES = 4
"""How many pages of journals may be under way to it."""
_KINDS = [
    "step",
    "intent",
    "attempt",
    "open",
    "resolved",
    "emit",
    "lost",
    "marker",
    "cancel",
    "reset",
    "verb",
]


class Worker:
    """Takes runs of its workflows from a server. The connection has a thread of its own; the code
    and the steps run on the event loop that `run` is awaited on."""

    def __init__(
        self,
        workflows: Iterable[Workflow[Any, Any]] | None = None,
        *,
        url: str | None = None,
        token: str | None = None,
        name: str | None = None,
        build: str | None = None,
        slots: int = SLOTS,
        drain_timeout: Duration = 30,
    ) -> None:
        """`workflows` are all that this process has defined, by default. `build` names the code's
        version: by default `POLOS_BUILD_ID`, or a hash of the source files that define them."""
        chosen = list(registered() if workflows is None else workflows)
        if not chosen:
            raise PolosError(
                "the worker has nothing to run", hint="decorate a function with @workflow"
            )
        self._workflows: dict[str, Workflow[Any, Any]] = {}
        for one in chosen:
            if self._workflows.setdefault(one.id, one) is not one:
                raise PolosError(f"`{one.id}` is registered twice", code="duplicate_definition")
        self._definitions = [one.definition() for one in chosen]
        self.id = ids.new("wrk")
        self.build = build or os.environ.get("POLOS_BUILD_ID") or build_of(chosen)
        self._address = Address.find(url, token)
        self._name = name
        self._slots = max(slots, 1)
        self.drain_s = milliseconds(drain_timeout) / 1000
        """How long a drain may take."""
        self._shared = Shared(Outbox(), Clock())
        self._runs = Runs(self._shared, self._workflows, self.build)
        self._connected = asyncio.Event()
        self._over = asyncio.Event()
        self._fatal: PolosError | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._connection: Connection | None = None

    def _hello(self, connection: int) -> dict[str, Any]:
        where = host()
        queues = {w.queue.name: w.queue for w in self._workflows.values() if w.queue is not None}
        return {
            "protocol": [1, 1],
            "features": [],
            "kinds": _KINDS,
            "worker": self.id,
            "name": self._name or f"{where['name']}-{where['pid']}",
            "host": where,
            "sdk": f"python/{VERSION}",
            "build": self.build,
            "connection": connection,
            "definitions": self._definitions,
            "queues": [queue.to_json() for queue in queues.values() if queue.is_declared],
            "slots": self._slots,
            "placements": [],
            "pages": _PAGES,
            "held": self._shared.held.list(),
        }

    async def run(self) -> None:
        """Runs until the worker has drained, or cannot go on. Cancel it to stop at once."""
        loop = self._loop = asyncio.get_running_loop()

        def told(what: str, said: Any) -> None:
            # On the connection's thread: it is known at once, however long the loop is busy.
            if what == "frame":
                self._shared.held.read(*said)
            elif what == "welcome":
                self._shared.held.kept(said[1])
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(self._told, what, said)

        connection = Connection(
            self._address, self._hello, self._shared.outbox, self._shared.clock, told
        )
        self._connection = connection
        self._runs.emptied = self._check_drained
        connection.start()
        try:
            await self._over.wait()
        finally:
            self._runs.close()
            connection.stop()
            await asyncio.to_thread(connection.join)
        if self._fatal is not None:
            raise self._fatal

    async def rehearse(self, socket: str) -> None:
        """Answers dry replays over this Unix socket until the other side is gone, and reaches no
        server: the code runs against journals as they were stored, and no step begins."""
        await rehearse(socket, self._hello(1), self._workflows)

    async def connected(self) -> None:
        """Ready once the connection stands; raises if it never will."""
        connected = asyncio.ensure_future(self._connected.wait())
        over = asyncio.ensure_future(self._over.wait())
        try:
            await asyncio.wait([connected, over], return_when=asyncio.FIRST_COMPLETED)
        finally:
            connected.cancel()
            over.cancel()
        if self._fatal is not None:
            raise self._fatal

    def drain(self) -> None:
        """Stops the worker in good order: no new runs, waiting ones are parked, running steps end.
        After the drain's time limit it stops with what is left."""
        loop = self._loop
        if loop is None:
            self._over.set()
            return
        self._runs.drain()
        loop.call_later(self.drain_s, self._over.set)

    def _check_drained(self) -> None:
        if self._runs.is_draining and not self._runs.tasks:
            self._over.set()

    def _told(self, what: str, said: Any) -> None:
        if self._over.is_set():
            return
        if what == "frame":
            kind, body = said
            self._runs.frame(kind, body)
        elif what == "welcome":
            number, welcome = said
            self._connected.set()
            self._runs.welcomed(number, welcome)
        elif what == "detached":
            self._connected.clear()
            self._runs.detached()
        elif what == "lease_lost":
            self._runs.lease_lost()
        elif what == "fatal":
            self._fatal = said
            self._over.set()

    def offers(self, workflow: Workflow[Any, Any]) -> bool:
        """True if the server knows that this worker runs the workflow."""
        return self._workflows.get(workflow.id) is workflow

    def drop_connection(self) -> None:
        """Breaks the connection off without a word, for tests; it comes back by itself."""
        if self._connection is not None:
            self._connection.drop()


def build_of(workflows: Iterable[Workflow[Any, Any]]) -> str:
    """A name for the version of the code: a hash of the source files that define the workflows, and
    of the modules beside them that are imported."""
    roots: set[Path] = set()
    for workflow in workflows:
        if workflow.file is not None:
            roots.add(Path(workflow.file).resolve().parent)
    files = {
        Path(file).resolve()
        for module in list(sys.modules.values())
        if (file := getattr(module, "__file__", None)) and str(file).endswith(".py")
    }
    digest = hashlib.sha256()
    for path in sorted(files):
        if path.parent in roots:
            with contextlib.suppress(OSError):
                digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return f"py-{digest.hexdigest()[:12]}"


def serve(*workflows: Workflow[Any, Any], **options: Any) -> None:
    """Runs a worker until SIGINT or SIGTERM, then drains it. A second signal stops it at once. Code
    that does not end by then is left behind: the process ends.

    With no workflows it serves all that this process has defined. Where `polos replay` has started
    the process it answers dry replays instead, and reaches no server."""
    if socket := os.environ.get(VARIABLE):
        worker = Worker(workflows or None, **options)
        asyncio.run(worker.rehearse(socket))
        return
    with Stop() as stop:
        asyncio.run(_serve(workflows, options, stop))


async def _serve(
    workflows: tuple[Workflow[Any, Any], ...], options: dict[str, Any], stop: Stop
) -> None:
    worker = Worker(workflows or None, **options)
    running = asyncio.ensure_future(worker.run())
    loop = asyncio.get_running_loop()

    def soon(act: Callable[[], object]) -> Callable[[], None]:
        def told() -> None:
            with contextlib.suppress(RuntimeError):  # The loop has ended already.
                loop.call_soon_threadsafe(act)

        return told

    stop.by(soon(worker.drain), worker.drain_s, soon(running.cancel))
    with contextlib.suppress(asyncio.CancelledError):
        await running
