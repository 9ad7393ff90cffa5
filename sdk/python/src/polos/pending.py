"""What a workflow's body awaits: each asks the run when it is first awaited, and is ready when the
run hands it its outcome."""

from __future__ import annotations

import contextvars
from collections.abc import Awaitable, Callable, Generator
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, cast

from polos import ids
from polos.codec import Codec
from polos.errors import Failure, StepError, step_error
from polos.replay.request import Outcome, Request, What
from polos.replay.strand import Core, Effect, Misuse
from polos.value import NULL, Value

T = TypeVar("T")

Make = Callable[[int], What]
"""Makes what is asked for, at the server's time."""
Read = Callable[[str, Value], Any]
"""Reads the outcome of a key."""


def reading(codec: Codec) -> Read:
    """Reads outcomes by a codec."""
    return lambda key, value: codec.decode(value, f"the recorded value of `{key}`")


def _nothing(key: str, value: Value) -> None:
    return None


NOTHING: Read = _nothing
"""Reads the outcome of what has no value."""


def result(key: str, outcome: Outcome, read: Read) -> Any:
    """The value of an outcome, or raises what it is instead."""
    if outcome.cancelled is not None:
        raise outcome.cancelled
    if outcome.failure is not None:
        raise step_error(outcome.failure, key)
    return read(key, outcome.value or NULL)


_UNOPENED = Failure("error", "the child run was not opened")


class Pending(Awaitable[T]):
    """Something to be awaited once, in the body, or given to `ctx.gather` and `ctx.race`."""

    def __init__(
        self,
        core: Core,
        name: str,
        make: Make,
        read: Read,
        *,
        effect: Effect | None = None,
        was: str | None = None,
    ) -> None:
        self._core = core
        self._name = name
        self._make = make
        self._read = read
        self._effect = effect
        self._was = was
        self._is_begun = False
        self.key: str | None = None
        """The journal's key under which it is recorded, once it is awaited."""
        self.direct = False
        """An item of a gather itself, with no code behind it."""

    def __repr__(self) -> str:
        return f"<{type(self).__name__} `{self._name}`>"

    def _ask(self) -> Request:
        core = self._core
        core.check_inside()
        if self._is_begun:
            raise Misuse(f"`{self._name}` was awaited a second time", hint="make a new one")
        self._is_begun = True
        request = core.ask(self._name, self._make(core.now), self._was, self.direct)
        self.key = request.key
        if self._effect is not None:
            core.effects[request.id] = (self._effect, contextvars.copy_context())
        return request

    def __await__(self) -> Generator[Any, None, T]:
        request = self._ask()
        outcome = yield from self._core.wait(request)
        return cast(T, result(request.key, outcome, self._read))


@dataclass(slots=True, eq=False)
class Handle(Awaitable[T], Generic[T]):
    """A child run that goes on while the parent does other things. Await it for its output; drop it
    to leave the child to itself."""

    run_id: str
    """The child run."""
    key: str
    """The journal's key under which it was opened."""
    _core: Core
    _request: Request
    _read: Read

    @property
    def direct(self) -> bool:
        """An item of a gather itself."""
        return self._request.direct

    @direct.setter
    def direct(self, direct: bool) -> None:
        self._request.direct = direct

    def __await__(self) -> Generator[Any, None, T]:
        self._core.check_inside()
        if self._request.id not in self._core.machine.requests:
            raise Misuse(f"the handle of `{self.key}` was awaited a second time")
        outcome = yield from self._core.wait(self._request)
        return cast(T, result(self.key, outcome, self._read))


class Spawn(Pending[Handle[T]]):
    """A child run to be started; gives a handle on it once the start is durable."""

    def __await__(self) -> Generator[Any, None, Handle[T]]:
        request = self._ask()
        core = self._core
        yield from core.wait_opened(request)
        if not request.opened and request.outcome is not None:
            outcome = yield from core.wait(request)
            result(request.key, outcome, NOTHING)
            raise StepError(outcome.failure or _UNOPENED, request.key)
        run = ids.child_run(core.machine.run, request.key)
        return Handle(run, request.key, core, request, self._read)
