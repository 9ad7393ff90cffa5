"""What the code asks of the machine, and what effects report back."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Literal

from polos import limits
from polos.errors import Cancelled, Failure
from polos.retry import Retry
from polos.value import Value

Mismatch = Literal["block", "accept", "warn"]
"""What to do when a recorded step is asked for with other arguments."""


class Sort(Enum):
    """What sort of thing is recorded under a key."""

    STEP = "step"
    TIMER = "timer"
    EVENT = "event"
    CHILD = "child"
    APPROVAL = "approval"
    SETTLE = "settle question"
    """The question to a person about a step in doubt: the machine's own."""
    EMIT = "published event"


@dataclass(frozen=True, slots=True)
class StepSpec:
    """How a step is to be carried out."""

    once: bool = False
    label: str | None = None
    retry: Retry = field(default_factory=Retry)
    timeout_ms: int = limits.STEP_TIMEOUT_MS
    fingerprint: str | None = None
    on_mismatch: Mismatch = "block"
    has_verify: bool = False
    is_fenced: bool = False
    """The receiver acts at most once per idempotency key, however late a request comes."""
    args: Value | None = None
    """What a person sees when asked to settle the step."""


@dataclass(frozen=True, slots=True)
class OpenSpec:
    """Something to wait for."""

    sort: Sort
    detail: str
    """What is opened, as the JSON of the record's detail."""
    handle: bool = False
    """The code wants to hear that it is opened, and takes the outcome later or never."""
    detached: bool = False
    fingerprint: str | None = None
    on_mismatch: Mismatch = "block"


@dataclass(frozen=True, slots=True)
class EmitSpec:
    """An event to be published."""

    detail: str
    payload: Value


What = StepSpec | OpenSpec | EmitSpec


@dataclass(frozen=True, slots=True)
class Ask:
    """What the code asks for, and in which scope."""

    scope: int
    name: str
    what: What
    was: str | None = None
    direct: bool = False
    """An item of a gather itself, with no code behind it that could go on."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the code is handed: a value, a failure, or the word that the run is being cancelled."""

    value: Value | None = None
    failure: Failure | None = None
    cancelled: Cancelled | None = None


class EffectKind(Enum):
    """What is to be begun."""

    ATTEMPT = "attempt"
    VERIFY = "verify"


@dataclass(frozen=True, slots=True)
class Begin:
    """An effect to begin now."""

    effect: int
    request: int
    key: str
    kind: EffectKind
    attempt: int
    timeout_ms: int
    once: bool


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a verification found: done with a value, not done, or unknown."""

    is_done: bool = False
    is_known: bool = False
    value: Value | None = None


UNKNOWN = Verdict()


@dataclass(frozen=True, slots=True)
class Fault:
    """A failed attempt."""

    failure: Failure
    retryable: bool = True
    retry_after_ms: int | None = None
    not_done: bool = False


def timed_out(timeout_ms: int) -> Fault:
    """An attempt that outlived its time limit."""
    message = f"the attempt took longer than its limit of {timeout_ms} ms"
    return Fault(Failure("timeout", message))


@dataclass(slots=True)
class Report:
    """How an effect ended, and when, and what it cost."""

    outcome: Value | Fault | Verdict
    started_ms: int = 0
    ended_ms: int = 0
    cost_micros: int | None = None
    tokens: tuple[int, int] | None = None


class Stage(Enum):
    """Where a request stands."""

    FRESH = "nothing has been done for it in this process"
    BACKOFF = "the next attempt begins at `due`"
    GATE = "a record must be durable before the effect begins"
    RUNNING = "the effect runs"
    DOUBT = "nobody knows how it ended; to be settled at `due`"
    VERIFYING = "the world is being asked"
    SETTLING = "a person is being asked, under `question`"
    SENT = "the outcome, or the opening, is on its way to the journal"
    OPENED = "it is opened, and has no outcome yet"
    RECORDED = "the outcome is in the journal and waits for its turn"
    DONE = "the outcome has been handed to the code"


@dataclass(slots=True)
class Request:
    """A request in the machine."""

    id: int
    key: str
    scope: int
    name: str
    direct: bool
    awaited_in: int
    """The scope of the code that awaits it: a handle's may differ from the one it was made in."""
    what: What
    after: int
    """The highest sequence number handed to the code when it asked."""
    requested_ms: int
    stage: Stage = Stage.FRESH
    due: int = 0
    effect: int = 0
    question: str = ""
    inserted: bool = False
    attempt: int = 1
    unjournaled: deque[dict[str, Any]] = field(
        default_factory=lambda: deque(maxlen=limits.ATTEMPTS_JOURNALED)
    )
    cause: Failure | None = None
    """What made a `once` step doubtful in this process."""
    intended: bool = False
    settles: int = 0
    opened: bool = False
    outcome: Outcome | None = None
    waker: Callable[[], None] | None = None

    @property
    def spec(self) -> StepSpec | None:
        """How the step is to be carried out, if it is one."""
        return self.what if isinstance(self.what, StepSpec) else None

    @property
    def is_once(self) -> bool:
        """True for a step that must not be repeated blindly."""
        return isinstance(self.what, StepSpec) and self.what.once

    @property
    def sort(self) -> Sort:
        """What sort of thing is asked for."""
        if isinstance(self.what, StepSpec):
            return Sort.STEP
        return self.what.sort if isinstance(self.what, OpenSpec) else Sort.EMIT

    @property
    def is_handle(self) -> bool:
        """True if the code hears of the opening by itself."""
        return isinstance(self.what, OpenSpec) and self.what.handle

    @property
    def may_have_acted(self) -> bool:
        """True if the effect of a `once` step may have happened."""
        acting = (Stage.RUNNING, Stage.DOUBT, Stage.VERIFYING, Stage.SETTLING)
        return self.is_once and self.stage in acting

    def wake(self) -> None:
        """Wakes the code that awaits it."""
        waker, self.waker = self.waker, None
        if waker is not None:
            waker()

    def describe(self) -> str:
        """One line for a person."""
        return f"{'once ' if self.is_once else ''}{self.sort.value} `{self.key}`"
