"""The machine's state. What it does stands in the modules beside it, as functions over it."""

from __future__ import annotations

import heapq
from collections import deque
from dataclasses import dataclass
from typing import Any

from polos import limits
from polos.replay.blobs import Blobs
from polos.replay.journal import Journal
from polos.replay.phase import Cancel, Ending, Phase, Said, Waiting
from polos.replay.request import Request, Stage
from polos.replay.scope import Scopes
from polos.replay.wire import Frame, NewRecord, Output, Records, Sent, Wire
from polos.value import Value, dumps


@dataclass(frozen=True, slots=True)
class Settings:
    """What the machine must know of its worker."""

    build: str
    hot_ms: int = limits.HOT_MS
    cleanup_ms: int = limits.CLEANUP_MS
    step_timeout_ms: int = limits.STEP_TIMEOUT_MS
    """The server's limit for steps: the machine announces longer ones."""


class Machine:
    """The replay of one run under one assignment: no I/O, no clock, no chance."""

    def __init__(self, start: dict[str, Any], settings: Settings) -> None:
        self.start = start
        self.settings = settings
        self.run: str = start["run"]
        self.assignment: int = start["assignment"]
        self.phase = Phase.LOADING
        self.ending: Ending | None = None
        self.journal = Journal()
        self.have = 0
        """The highest sequence number known without a gap."""
        self.frontier: int = start["seq"]
        """The journal's end when the run was given: what lies behind it is live."""
        self.handed = 0
        """The highest sequence number handed to the code."""
        self.code_ms: int = start["created_ms"]
        """The code's time."""
        self.input = Value.from_wire(start["input"])
        self.scopes = Scopes()
        self.requests: dict[int, Request] = {}
        self.fresh: list[int] = []
        """Requests for which something is to be begun when the code is idle."""
        self.next_request = 1
        self.next_effect = 1
        self.timed: list[tuple[int, int]] = []
        """Requests with a time of their own, backoffs and doubts: a heap."""
        self.wire = Wire()
        self.blobs = Blobs()
        self.waiting: Waiting | None = None
        self.cancel: Cancel | None = None
        self.draining = False
        self.out: deque[Output] = deque()

    @property
    def seed(self) -> str:
        """From which chance derives."""
        return self.start["seed"]

    @property
    def generation(self) -> int:
        """Counts up when a person orders new idempotency keys."""
        return self.start.get("key_generation", 0)

    @property
    def is_loaded(self) -> bool:
        """True once the whole journal is here."""
        return self.phase is not Phase.LOADING

    @property
    def is_running(self) -> bool:
        """True while the code may run: neither blocked, ended nor given back."""
        return self.phase is Phase.RUNNING

    @property
    def is_gone(self) -> bool:
        """True once nothing is left to do here."""
        return self.phase is Phase.GONE

    @property
    def is_replaying(self) -> bool:
        """True while the code is handed what was recorded before this process had the run."""
        return not self.is_loaded or self.journal.has_history(self.frontier)

    @property
    def is_caught_up(self) -> bool:
        """True if all outcomes that the journal holds for the code have been handed to it."""
        return not self.journal.queue and not self.journal.ready

    @property
    def has_effects(self) -> bool:
        """True while effects run for it."""
        running = (Stage.RUNNING, Stage.VERIFYING)
        return any(request.stage in running for request in self.requests.values())

    @property
    def is_awaited(self) -> bool:
        """True if the code waits for something that the machine knows."""
        return any(request.waker is not None for request in self.requests.values())

    def reference(self) -> dict[str, Any]:
        """The run and its assignment: the fence on every frame."""
        return {"run": self.run, "assignment": self.assignment}

    def next_output(self) -> Output | None:
        """The next thing to be done outside."""
        if not self.out:
            self.flush()
        return self.out.popleft() if self.out else None

    def flush(self) -> None:
        """Hands out what is numbered."""
        if self.wire.batch:
            records, self.wire.batch = self.wire.batch, []
            self.out.append(Records(self.run, self.assignment, records))

    def frame(self, kind: str, body: dict[str, Any], hash: str | None = None) -> None:
        """Sends a frame, after the records submitted before it."""
        self.frame_text(kind, dumps(body), hash)

    def frame_text(self, kind: str, body: str, hash: str | None = None) -> None:
        """The same, with the body as JSON text."""
        self.flush()
        if self.wire.attached:
            self.out.append(Frame(kind, body, hash))

    def submit(
        self, record: NewRecord, request: int | None = None, local: Value | None = None
    ) -> None:
        """Numbers a record, keeps it until it is durable, and sends it."""
        self.waiting = None
        self.wire.n += 1
        record.n = self.wire.n
        if self.wire.can_send:
            self.wire.batch.append(record)
        asked = self.requests.get(request) if request is not None else None
        inserted = asked is not None and asked.inserted
        self.wire.unacknowledged.append(Sent(record, request, local, inserted))

    def ask_more(self) -> None:
        """Says up to where the journal is here: the answer to a page, or to a gap."""
        self.frame("more", {**self.reference(), "seq": self.have})

    def at(self, due: int, request: int) -> None:
        """The request has something to do at a time."""
        heapq.heappush(self.timed, (due, request))

    def timer(self) -> int | None:
        """When a tick is wanted next."""
        if not self.is_running:
            return None
        times: list[int] = []
        if self.wire.may_start and self.timed:
            times.append(self.timed[0][0])
        if self.waiting is not None and self.waiting.said is Said.WAIT:
            times.append(self.waiting.park_ms)
        if self.cancel is not None:
            times.append(self.cancel.deadline_ms)
        return min(times, default=None)
