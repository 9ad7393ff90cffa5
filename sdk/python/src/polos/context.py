"""The context: all that a workflow's code may ask of its run."""

from __future__ import annotations

import contextlib
import contextvars
import logging
import uuid as uuids
from collections.abc import Awaitable, Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import (
    TYPE_CHECKING,
    Any,
    Concatenate,
    Generic,
    Literal,
    ParamSpec,
    TypeVar,
    cast,
    overload,
)

from polos import keys
from polos.branch import MAP_CONCURRENCY, Branch, Cleanup, Gather, Map, Race
from polos.codec import ANY, codec_of, to_jsonable
from polos.duration import Duration, milliseconds
from polos.errors import Cancelled, Failure, PolosError, Rejected
from polos.pending import NOTHING, Handle, Pending, Spawn, reading
from polos.replay import derive, diverge
from polos.replay.request import EmitSpec, Mismatch, OpenSpec, Sort
from polos.replay.strand import Core
from polos.run import RunOptions, epoch_ms
from polos.step import StepCall, TransactionCall
from polos.value import Value, dumps

if TYPE_CHECKING:
    from polos.workflow import Workflow

    _Adapter = logging.LoggerAdapter[logging.Logger]
else:  # It takes no parameter before 3.11.
    _Adapter = logging.LoggerAdapter

P = ParamSpec("P")
T = TypeVar("T")
A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")
D = TypeVar("D")
E = TypeVar("E")
F = TypeVar("F")
I = TypeVar("I")  # noqa: E741

_current: contextvars.ContextVar[WorkflowContext] = contextvars.ContextVar("polos_context")


@dataclass(frozen=True, slots=True)
class RunInfo:
    """What is known of a run from its start."""

    run_id: str
    workflow: str
    root: str
    """The first run of its tree."""
    parent: str | None
    depth: int
    principal: str
    """Who started it."""
    session: str | None
    """The conversation it belongs to."""
    labels: Mapping[str, str]
    created: datetime


@dataclass(frozen=True, slots=True)
class Event(Generic[T]):
    """An event that came."""

    id: str
    position: int
    """Its place in its topic."""
    at: datetime
    payload: T


@dataclass(frozen=True, slots=True)
class Answer:
    """What a person answered."""

    approved: bool
    feedback: str | None
    value: Any
    by: str
    at: datetime
    scope: str = "once"

    def __bool__(self) -> bool:
        return self.approved


class WorkflowContext:
    """A run, as its code sees it. Everything that is awaited in a workflow's body comes from here;
    other awaitables belong into steps."""

    def __init__(self, core: Core, send: Callable[[str, int, str, str], None]) -> None:
        self._core = core
        self._send = send
        self._states: dict[type[Any], Any] = {}
        start = core.machine.start
        options: dict[str, Any] = start.get("options") or {}
        self.info = RunInfo(
            run_id=start["run"],
            workflow=start["workflow"],
            root=start["root"],
            parent=start.get("parent"),
            depth=start.get("depth", 0),
            principal=start.get("principal", ""),
            session=options.get("session"),
            labels=options.get("labels", {}),
            created=_moment(start["created_ms"]),
        )
        self.log = _ReplayLogger(self)
        """A logger that is silent while recorded outcomes are being handed to the code."""

    def __repr__(self) -> str:
        return f"<WorkflowContext {self.info.run_id}>"

    @property
    def run_id(self) -> str:
        """The run's id."""
        return self.info.run_id

    @property
    def session_id(self) -> str | None:
        """The conversation that the run belongs to."""
        return self.info.session

    # -- steps ---------------------------------------------------------------------------------

    @overload
    def step(
        self, name: str, fn: Callable[P, Awaitable[T]], /, *args: P.args, **kwargs: P.kwargs
    ) -> Pending[T]: ...
    @overload
    def step(
        self, name: str, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs
    ) -> Pending[T]: ...
    def step(self, name: str, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Pending[Any]:
        """A step: `fn(*args, **kwargs)` runs, its result is recorded, and the code goes on when the
        record is durable. A recorded step never runs again. `fn` may be a plain function, an async
        one, or one with options (`@step`)."""
        effect = StepCall(fn, args, kwargs)
        return Pending(
            self._core,
            name,
            lambda now: effect.spec(name),
            reading(effect.codec),
            effect=effect,
            was=effect.options.was,
        )

    @overload
    def transaction(
        self,
        name: str,
        database: Any,
        fn: Callable[Concatenate[Any, P], Awaitable[T]],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> Pending[T]: ...
    @overload
    def transaction(
        self,
        name: str,
        database: Any,
        fn: Callable[Concatenate[Any, P], T],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> Pending[T]: ...
    def transaction(
        self, name: str, database: Any, fn: Callable[..., Any], /, *args: Any, **kwargs: Any
    ) -> Pending[Any]:
        """A step in the user's own database: `fn(connection, *args, **kwargs)` and a marker row
        commit together, so that its effect happens exactly once. `database` is a connection or a
        pool of psycopg or asyncpg, a connection of sqlite3 or aiosqlite, or the path of an SQLite
        file. Commit and rollback are not `fn`'s: an error that it raises rolls back."""
        effect = TransactionCall(database, fn, args, kwargs)
        return Pending(
            self._core,
            name,
            lambda now: effect.spec(name),
            reading(effect.codec),
            effect=effect,
            was=effect.options.was,
        )

    # -- children ------------------------------------------------------------------------------

    @overload
    def call(
        self,
        workflow: Workflow[I, T],
        input: I,
        /,
        *,
        name: str | None = ...,
        options: RunOptions | None = ...,
        was: str | None = ...,
        on_mismatch: Mismatch = ...,
    ) -> Pending[T]: ...
    @overload
    def call(
        self,
        workflow: Workflow[None, T],
        /,
        *,
        name: str | None = ...,
        options: RunOptions | None = ...,
        was: str | None = ...,
        on_mismatch: Mismatch = ...,
    ) -> Pending[T]: ...
    @overload
    def call(
        self,
        workflow: str,
        input: Any = None,
        /,
        *,
        name: str | None = ...,
        options: RunOptions | None = ...,
        was: str | None = ...,
        on_mismatch: Mismatch = ...,
    ) -> Pending[Any]: ...
    def call(
        self,
        workflow: Workflow[Any, Any] | str,
        input: Any = None,
        /,
        *,
        name: str | None = None,
        options: RunOptions | None = None,
        was: str | None = None,
        on_mismatch: Mismatch = "block",
    ) -> Pending[Any]:
        """A child run of another workflow, agent or tool, and its output. Its step is named after
        the workflow unless `name` says otherwise."""
        child = _Child(workflow, input, options, on_mismatch)
        return Pending(self._core, name or child.name, child.make(), child.read, was=was)

    @overload
    def spawn(
        self,
        workflow: Workflow[I, T],
        input: I,
        /,
        *,
        name: str | None = ...,
        options: RunOptions | None = ...,
        was: str | None = ...,
    ) -> Spawn[T]: ...
    @overload
    def spawn(
        self,
        workflow: Workflow[None, T],
        /,
        *,
        name: str | None = ...,
        options: RunOptions | None = ...,
        was: str | None = ...,
    ) -> Spawn[T]: ...
    @overload
    def spawn(
        self,
        workflow: str,
        input: Any = None,
        /,
        *,
        name: str | None = ...,
        options: RunOptions | None = ...,
        was: str | None = ...,
    ) -> Spawn[Any]: ...
    def spawn(
        self,
        workflow: Workflow[Any, Any] | str,
        input: Any = None,
        /,
        *,
        name: str | None = None,
        options: RunOptions | None = None,
        was: str | None = None,
    ) -> Spawn[Any]:
        """Starts a child run and gives a handle on it, once the start is durable."""
        child = _Child(workflow, input, options, "block")
        make = child.make(handle=True)
        return Spawn(self._core, name or child.name, make, child.read, was=was)

    async def detach(
        self,
        workflow: Workflow[Any, Any] | str,
        input: Any = None,
        /,
        *,
        name: str | None = None,
        options: RunOptions | None = None,
        was: str | None = None,
    ) -> str:
        """Starts a run that this one neither waits for nor cancels; gives its id once the start is
        durable."""
        child = _Child(workflow, input, options, "block")
        make = child.make(handle=True, detached=True)
        spawn: Spawn[Any] = Spawn(self._core, name or child.name, make, child.read, was=was)
        return (await spawn).run_id

    # -- branches ------------------------------------------------------------------------------

    def branch(self, name: str, body: Awaitable[T]) -> Branch[T]:
        """Code with a scope of its own, as an item of `gather` or `race`, or by itself."""
        return Branch(self._core, name, body)

    def cleanup(self, body: Awaitable[T]) -> Cleanup[T]:
        """Code that runs even though the run is being cancelled, for a bounded time: what must be
        undone or let go."""
        return Cleanup(self._core, body)

    @overload
    def gather(self, a: Awaitable[A], /) -> Awaitable[tuple[A]]: ...
    @overload
    def gather(self, a: Awaitable[A], b: Awaitable[B], /) -> Awaitable[tuple[A, B]]: ...
    @overload
    def gather(
        self, a: Awaitable[A], b: Awaitable[B], c: Awaitable[C], /
    ) -> Awaitable[tuple[A, B, C]]: ...
    @overload
    def gather(
        self, a: Awaitable[A], b: Awaitable[B], c: Awaitable[C], d: Awaitable[D], /
    ) -> Awaitable[tuple[A, B, C, D]]: ...
    @overload
    def gather(
        self,
        a: Awaitable[A],
        b: Awaitable[B],
        c: Awaitable[C],
        d: Awaitable[D],
        e: Awaitable[E],
        /,
    ) -> Awaitable[tuple[A, B, C, D, E]]: ...
    @overload
    def gather(self, *branches: Awaitable[T]) -> Awaitable[tuple[T, ...]]: ...
    def gather(self, *branches: Awaitable[Any]) -> Awaitable[tuple[Any, ...]]:
        """Runs branches side by side and waits for all of them. If some fail, the error of the
        first of those in the list is raised, once all have ended."""
        return Gather(self._core, branches)

    @overload
    def race(
        self, a: Awaitable[A], b: Awaitable[B], /
    ) -> Awaitable[tuple[Literal[0], A] | tuple[Literal[1], B]]: ...
    @overload
    def race(
        self, a: Awaitable[A], b: Awaitable[B], c: Awaitable[C], /
    ) -> Awaitable[tuple[Literal[0], A] | tuple[Literal[1], B] | tuple[Literal[2], C]]: ...
    @overload
    def race(self, *branches: Awaitable[T]) -> Awaitable[tuple[int, T]]: ...
    def race(self, *branches: Awaitable[Any]) -> Awaitable[Any]:
        """Runs branches side by side until the first one ends, with a value or an error: gives its
        index and its value. The others are given up, and recorded as lost."""
        return Race(self._core, branches)

    def map(
        self,
        name: str,
        fn: Callable[[I], Awaitable[T]],
        items: Iterable[I],
        *,
        key: Callable[[I], str] | None = None,
        concurrency: int = MAP_CONCURRENCY,
    ) -> Awaitable[list[T]]:
        """Runs a branch for each item, some at once, and gives their values in the items' order.
        `key` names an item's scope, so that its steps are found again when the list changes. After
        an error no further item is begun, and the error raised once the others have ended."""
        return Map(self._core, name, fn, items, key, concurrency)

    # -- waiting -------------------------------------------------------------------------------

    def sleep(self, duration: Duration, *, name: str = "sleep") -> Pending[None]:
        """Pauses durably: a long pause holds no memory, no thread and no worker."""
        wait_ms = milliseconds(duration)
        return Pending(self._core, name, lambda now: _timer(now + wait_ms), NOTHING)

    def sleep_until(self, moment: datetime, *, name: str = "sleep") -> Pending[None]:
        """Pauses until a time, by the server's clock."""
        at = epoch_ms(moment)
        return Pending(self._core, name, lambda now: _timer(at), NOTHING)

    @overload
    def wait_for_event(
        self,
        topic: str,
        payload: type[T],
        *,
        timeout: Duration | None = ...,
        name: str | None = ...,
    ) -> Pending[Event[T]]: ...
    @overload
    def wait_for_event(
        self,
        topic: str,
        payload: None = None,
        *,
        timeout: Duration | None = ...,
        name: str | None = ...,
    ) -> Pending[Event[Any]]: ...
    def wait_for_event(
        self,
        topic: str,
        payload: Any = None,
        *,
        timeout: Duration | None = None,
        name: str | None = None,
    ) -> Pending[Event[Any]]:
        """The next event on a topic of the namespace that this run has not seen, from its creation
        on. Gives up after `timeout` with `TimedOut`."""
        return self._event(topic, payload, timeout, name, signal=False)

    @overload
    def wait_for_signal(
        self,
        topic: str,
        payload: type[T],
        *,
        timeout: Duration | None = ...,
        name: str | None = ...,
    ) -> Pending[Event[T]]: ...
    @overload
    def wait_for_signal(
        self,
        topic: str,
        payload: None = None,
        *,
        timeout: Duration | None = ...,
        name: str | None = ...,
    ) -> Pending[Event[Any]]: ...
    def wait_for_signal(
        self,
        topic: str,
        payload: Any = None,
        *,
        timeout: Duration | None = None,
        name: str | None = None,
    ) -> Pending[Event[Any]]:
        """The next signal of this name that is sent to this very run."""
        return self._event(topic, payload, timeout, name, signal=True)

    def _event(
        self, topic: str, payload: Any, timeout: Duration | None, name: str | None, *, signal: bool
    ) -> Pending[Event[Any]]:
        wait_ms = None if timeout is None else milliseconds(timeout)
        codec = codec_of(ANY if payload is None else payload)

        def make(now: int) -> OpenSpec:
            event: dict[str, Any] = {"topic": topic, "signal": signal}
            if wait_ms is not None:
                event["deadline_ms"] = now + wait_ms
            return OpenSpec(Sort.EVENT, dumps({"event": event}))

        def read(key: str, value: Value) -> Event[Any]:
            event = value.data
            carried = Value.from_wire(event["payload"])
            return Event(
                id=event["id"],
                position=event["position"],
                at=_moment(event["at"]),
                payload=codec.decode(carried, f"the payload of `{key}`"),
            )

        return Pending(self._core, name or topic, make, read)

    @overload
    def ask(
        self,
        title: str,
        *,
        form: type[T],
        timeout: Duration | None = ...,
        name: str = ...,
        subject: Any = ...,
        assignees: Sequence[str] = ...,
    ) -> Pending[T]: ...
    @overload
    def ask(
        self,
        title: str,
        *,
        form: None = None,
        timeout: Duration | None = ...,
        name: str = ...,
        subject: Any = ...,
        assignees: Sequence[str] = ...,
    ) -> Pending[Answer]: ...
    def ask(
        self,
        title: str,
        *,
        form: Any = None,
        timeout: Duration | None = None,
        name: str = "ask",
        subject: Any = None,
        assignees: Sequence[str] = (),
    ) -> Pending[Any]:
        """Asks a person and waits for the answer. With a `form` (a Pydantic model, a dataclass or
        any other type) it gives the filled form, and raises `Rejected` if the person says no;
        without one it gives an `Answer`, yes or no. `subject` is the exact thing to be done."""
        question: dict[str, Any] = {
            "title": title,
            "kind": "approval" if form is None else "answer",
        }
        if subject is not None:
            question["subject"] = to_jsonable(subject, "subject")
            question["subject_hash"] = derive.sha256_hex(dumps(question["subject"]))
        if assignees:
            question["assignees"] = list(assignees)
        codec = codec_of(ANY if form is None else form)
        if form is not None:
            question["form"] = codec.schema()
        wait_ms = None if timeout is None else milliseconds(timeout)

        def make(now: int) -> OpenSpec:
            deadline = {} if wait_ms is None else {"deadline_ms": now + wait_ms}
            return OpenSpec(Sort.APPROVAL, dumps({"approval": {**question, **deadline}}))

        def read(key: str, value: Value) -> Any:
            answer = value.data
            feedback = answer.get("feedback")
            if form is None:
                return Answer(
                    approved=answer["approved"],
                    feedback=feedback,
                    value=answer.get("value"),
                    by=answer["by"],
                    at=_moment(answer["at"]),
                    scope=answer.get("scope") or "once",
                )
            if not answer["approved"]:
                said = f": {feedback}" if feedback else ""
                raise Rejected(f"`{answer['by']}` declined to answer `{title}`{said}", feedback)
            return codec.decode(Value(data=answer.get("value")), f"the answer to `{key}`")

        return Pending(self._core, name, make, read)

    def publish(
        self, topic: str, payload: Any = None, *, to: str | None = None, name: str | None = None
    ) -> Pending[None]:
        """Publishes an event on a topic of the namespace, once; or sends a signal to a run."""
        detail: dict[str, Any] = {"topic": topic}
        if to is not None:
            detail["run"] = to
        carried = Value(data=to_jsonable(payload, "payload"))
        spec = EmitSpec(dumps(detail), carried)
        return Pending(self._core, name or topic, lambda now: spec, NOTHING)

    # -- what follows from the run alone ---------------------------------------------------------

    def now(self) -> datetime:
        """The run's time, in UTC: when the last outcome that the code was handed was recorded. The
        same on replay; it never goes back."""
        return _moment(self._core.machine.code_ms)

    def uuid(self) -> uuids.UUID:
        """A UUID that derives from the run: the same on replay. Not a secret."""
        self._core.check_inside()
        return self._core.machine.scopes.next_uuid(self._core.scope, self._core.machine.seed)

    def random(self) -> float:
        """A random number in 0..1 that derives from the run: the same on replay. Not a secret."""
        self._core.check_inside()
        machine = self._core.machine
        return derive.unit(machine.scopes.next_random(self._core.scope, machine.seed))

    def state(self, kind: type[T]) -> T:
        """The run's one object of this class, made with no arguments when it is first asked for. The
        replay makes and changes it again, so it needs no storing: helpers and branches share it."""
        self._core.check_inside()
        if kind not in self._states:
            self._states[kind] = kind()
        return cast(T, self._states[kind])

    # -- changed code --------------------------------------------------------------------------

    def patched(self, id: str) -> bool:
        """True from the place on where the run first came here with this code: guards changed code,
        so that runs that were past this place keep their old way."""
        self._core.check_inside()
        return diverge.patched(self._core.machine, self._core.scope, id)

    def removed(self, name: str) -> None:
        """Declares that recorded steps of this name, in this scope, are not asked for any more."""
        self._core.check_inside()
        diverge.removed(self._core.machine, self._core.scope, name)

    # -- the rest --------------------------------------------------------------------------------

    @property
    def cancelled(self) -> Failure | None:
        """Why the run is being cancelled, if it is."""
        cancel = self._core.machine.cancel
        return cancel.failure if cancel is not None else None

    def check_cancelled(self) -> None:
        """Raises `Cancelled` if the run is being cancelled."""
        failure = self.cancelled
        if failure is not None:
            raise Cancelled(failure)

    @property
    def is_replaying(self) -> bool:
        """True while recorded outcomes are being handed to the code."""
        return self._core.machine.is_replaying

    def stream(self, kind: str, data: Any) -> None:
        """Sends a piece of live output of the run itself. Not journaled, not repeated on replay."""
        if not self._core.machine.is_replaying:
            self._send(keys.RUN, 1, kind, dumps(to_jsonable(data, "data")))

    @contextlib.contextmanager
    def span(self, name: str) -> Generator[None]:
        """Marks a part of the run in its live output: its begin and its end, by the run's time."""
        began = self._core.machine.code_ms
        self.stream("span", {"name": name, "began_ms": began})
        try:
            yield
        finally:
            if not self._core.closed:
                ended = self._core.machine.code_ms
                self.stream("span", {"name": name, "began_ms": began, "ended_ms": ended})


def current_context() -> WorkflowContext:
    """The context of the workflow whose body is running."""
    try:
        return _current.get()
    except LookupError:
        raise PolosError(
            "no workflow is running here", hint="call it in the body of a workflow"
        ) from None


def running_context() -> WorkflowContext | None:
    """The same, or nothing outside of a body."""
    context = _current.get(None)
    return context if context is not None and context._core.is_inside else None  # pyright: ignore[reportPrivateUsage]


def enter(context: WorkflowContext) -> None:
    """The body that begins here has this context."""
    _current.set(context)


class _Child:
    """A child run to be opened."""

    def __init__(
        self,
        workflow: Workflow[Any, Any] | str,
        input: Any,
        options: RunOptions | None,
        on_mismatch: Mismatch,
    ) -> None:
        self._workflow = workflow
        self._input = input
        self._options = options
        self._on_mismatch: Mismatch = on_mismatch
        self.name = workflow if isinstance(workflow, str) else workflow.id
        output = codec_of(ANY) if isinstance(workflow, str) else workflow.output
        self.read = reading(output)

    def make(self, handle: bool = False, detached: bool = False) -> Callable[[int], OpenSpec]:
        """Makes the spec; the input is refused here, if it is."""

        def made(now: int) -> OpenSpec:
            what = f"the input of `{self.name}`"
            if isinstance(self._workflow, str):
                given = Value(data=to_jsonable(self._input, what))
            else:
                given = self._workflow.input.encode(self._input, what)
            options = dumps(self._options.to_json()) if self._options is not None else "{}"
            detail = (
                f'{{"child":{{"workflow":{dumps(self.name)},"input":{given.wire()},'
                f'"options":{options},"detached":{"true" if detached else "false"}}}}}'
            )
            print_ = derive.fingerprint(given.data)
            return OpenSpec(Sort.CHILD, detail, handle, detached, print_, self._on_mismatch)

        return made


def _timer(at: int) -> OpenSpec:
    return OpenSpec(Sort.TIMER, f'{{"timer":{{"at":{at}}}}}')


def _moment(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, timezone.utc)


class _ReplayLogger(_Adapter):
    """Says nothing while recorded outcomes are being handed to the code."""

    def __init__(self, context: WorkflowContext) -> None:
        super().__init__(logging.getLogger("polos.workflow"), {"run_id": context.run_id})
        self._context = context

    def isEnabledFor(self, level: int) -> bool:
        return not self._context.is_replaying and super().isEnabledFor(level)


__all__ = ["Answer", "Event", "Handle", "RunInfo", "WorkflowContext", "current_context"]
