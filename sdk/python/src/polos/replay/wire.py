"""What goes out of the machine: records, frames, effects to begin; and what of it is not yet known
to be durable."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Any

from polos.errors import Failure
from polos.replay.request import Begin
from polos.value import Value, dumps


@dataclass(slots=True)
class NewRecord:
    """A record as a worker asks for it. `n` is its number within the assignment, from 1."""

    kind: str
    key: str
    after: int
    n: int = 0
    attempt: int = 1
    fingerprint: str | None = None
    value: Value | None = None
    error: Failure | None = None
    detail: str | None = None
    """What only the kind knows, as JSON text."""
    requested_ms: int | None = None
    started_ms: int | None = None
    ended_ms: int | None = None

    def text(self) -> str:
        """The record as JSON text."""
        parts = [
            f'{{"n":{self.n},"kind":"{self.kind}","key":{dumps(self.key)},"after":{self.after}'
        ]
        if self.attempt != 1:
            parts.append(f'"attempt":{self.attempt}')
        if self.fingerprint is not None:
            parts.append(f'"fingerprint":{dumps(self.fingerprint)}')
        if self.error is not None:
            parts.append(f'"error":{dumps(self.error.to_json())}')
        for name, at in (
            ("requested_ms", self.requested_ms),
            ("started_ms", self.started_ms),
            ("ended_ms", self.ended_ms),
        ):
            if at is not None:
                parts.append(f'"{name}":{at}')
        if self.detail is not None:
            parts.append(f'"detail":{self.detail}')
        if self.value is not None:
            parts.append(f'"value":{self.value.wire()}')
        return ",".join(parts) + "}"


@dataclass(frozen=True, slots=True)
class Records:
    """Records of one run to be sent; they may share a frame with other runs' records."""

    run: str
    assignment: int
    records: list[NewRecord]


@dataclass(frozen=True, slots=True)
class Frame:
    """A frame to be sent, after what came before."""

    kind: str
    body: str
    """The body as JSON text."""
    hash: str | None = None
    """The value it asks for or stores: who sends it wants to hear of it."""

    def text(self) -> str:
        """The frame as JSON text."""
        return f'{{"type":"{self.kind}","body":{self.body}}}'


@dataclass(frozen=True, slots=True)
class Stop:
    """An effect to stop; a report on it is ignored."""

    effect: int


@dataclass(frozen=True, slots=True)
class Forget:
    """The run is the worker's no more: drop it and its effects."""


Output = Records | Frame | Begin | Stop | Forget


@dataclass(slots=True)
class Sent:
    """A record that is not known to be durable."""

    record: NewRecord
    request: int | None
    local: Value | None
    """The value itself, where the record only refers to it."""
    inserted: bool


@dataclass(slots=True)
class Wire:
    """What has been sent and is not known to be durable."""

    n: int = 0
    unacknowledged: deque[Sent] = field(default_factory=deque[Sent])
    batch: list[NewRecord] = field(default_factory=list[NewRecord])
    """Numbered and not yet handed out."""
    attached: bool = True
    """False between a lost connection and `welcome`."""
    catch_up: dict[str, Any] | None = None
    """What the server has, which must be known here before anything is sent again."""
    may_start: bool = True
    """False once the lease has ended unheard: no effect may begin."""

    @property
    def can_send(self) -> bool:
        """True while records may go out."""
        return self.attached and self.catch_up is None

    @property
    def is_quiet(self) -> bool:
        """True if all that was said is durable."""
        return not self.unacknowledged and self.can_send
