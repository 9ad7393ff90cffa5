"""Strands: lines of a run's code that are driven by hand, so that nothing but the run's own journal
wakes them. The body is one, and each branch of a gather, race or map."""

from __future__ import annotations

import contextvars
import threading
from collections import deque
from collections.abc import Callable, Coroutine, Generator
from typing import Any, Final, Protocol

from polos.errors import Attempt, Evicted
from polos.replay import ask, ending, hand
from polos.replay.machine import Machine
from polos.replay.request import Ask, EffectKind, Outcome, Report, Request, What
from polos.replay.scope import ROOT, ScopeKind

WAIT: Final = object()
"""What code yields while it waits for the run: anything else that it yields cannot be replayed."""

Code = Generator[Any, None, Any]


class Misuse(Attempt):
    """A run's context is used where it must not be."""

    code = "misuse"
    retryable = False


class Effect(Protocol):
    """The effect of a step, as the worker begins it."""

    def begin(self, kind: EffectKind, step: Any) -> Coroutine[Any, Any, Report]:
        """Carries it out, or verifies it. Never raises an error of the user's."""
        ...


class Core:
    """What the body and its branches share with the run."""

    def __init__(self, machine: Machine, now: int) -> None:
        self.machine = machine
        self.effects: dict[int, tuple[Effect, contextvars.Context]] = {}
        self.scope = ROOT
        """The scope of the code that is being driven."""
        self.strand: Strand | None = None
        """The strand that is being driven."""
        self.awake = False
        self.closed = False
        """The body is being closed whole: nothing that it drops matters."""
        self.losing = 0
        self.now = now
        """The server's time, as last passed in."""
        self._thread: int | None = None

    @property
    def is_inside(self) -> bool:
        """True if the caller is code that the run is driving now."""
        return self._thread == threading.get_ident()

    def check_inside(self) -> None:
        """Raises if the caller is not code that the run is driving now."""
        if self.closed:
            raise Evicted
        if self.is_inside:
            return
        message = "the run's context was used outside its own body"
        hint = (
            "use `ctx` neither inside a step nor in a task of your own; branches belong into "
            "`ctx.gather`, `ctx.race` or `ctx.map`"
        )
        raise Misuse(message, hint=hint)

    def ask(self, name: str, what: What, was: str | None, direct: bool) -> Request:
        """Makes a request in the scope of the code that is being driven."""
        return ask.ask(self.machine, Ask(self.scope, name, what, was, direct), self.now)

    def wait(self, request: Request) -> Generator[Any, None, Outcome]:
        """Waits until the request has its outcome."""
        try:
            while (outcome := ask.take(self.machine, request)) is None:
                yield self.sleep(request)
        except BaseException:
            self._dropped(request)
            raise
        self.effects.pop(request.id, None)
        return outcome

    def wait_opened(self, request: Request) -> Generator[Any, None, None]:
        """Waits until the opening of a handle has had its turn."""
        try:
            while not (request.opened or request.outcome is not None):
                yield self.sleep(request)
        except BaseException:
            self._dropped(request)
            raise

    def sleep(self, request: Request) -> object:
        """The strand that is being driven is woken by this request."""
        request.awaited_in = self.scope
        request.waker = self.strand.wake if self.strand is not None else None
        return WAIT

    def _dropped(self, request: Request) -> None:
        self.effects.pop(request.id, None)
        if self.closed or not self.machine.is_running or request.id not in self.machine.requests:
            return
        if self.losing:
            hand.lose(self.machine, request)
        else:
            ending.block_misuse(
                self.machine,
                f"`{request.key}` was begun and then dropped before its end",
                "race steps with `ctx.race`, which records the loser",
            )

    def drive_root(self, root: Strand) -> bool:
        """Lets the body run as far as it goes. True if it has ended."""
        self._thread = threading.get_ident()
        try:
            return root.drive()
        finally:
            self._thread = None

    def block_foreign(self, foreign: object) -> None:
        """The code awaits what cannot be replayed."""
        ending.block_misuse(
            self.machine,
            "the workflow's body awaits something that its context does not know "
            f"(`{type(foreign).__name__}`)",
            "await I/O, timers and tasks inside a `ctx.step`, and pauses with `ctx.sleep`: what "
            "the body itself awaits must be replayable",
        )


class Strand:
    """One line of code. It ends with a value or an error."""

    __slots__ = ("_core", "_fan", "_is_awake", "code", "ended", "error", "index", "scope", "value")

    def __init__(self, core: Core, code: Code, scope: int, fan: Fan | None, index: int) -> None:
        self._core = core
        self._fan = fan
        self._is_awake = False
        self.code = code
        self.scope = scope
        self.index = index
        self.ended = False
        self.value: Any = None
        self.error: BaseException | None = None

    def wake(self) -> None:
        """Has it driven, and the strands around it."""
        if self._is_awake or self.ended:
            return
        self._is_awake = True
        if self._fan is None:
            self._core.awake = True
        else:
            self._fan.ready.append(self)
            if self._fan.around is not None:
                self._fan.around.wake()

    def drive(self) -> bool:
        """Lets the code run as far as it goes. True if it has ended."""
        core = self._core
        outer = core.scope, core.strand
        core.scope, core.strand = self.scope, self
        self._is_awake = False
        try:
            yielded = self.code.send(None)
            if yielded is not WAIT:
                core.block_foreign(yielded)
            return False
        except StopIteration as end:
            self.value = end.value
        except (Evicted, GeneratorExit, KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:
            self.error = error
        finally:
            core.scope, core.strand = outer
        self.ended = True
        return True

    def close(self) -> None:
        """Gives the code up."""
        if not self.ended:
            self.ended = True
            self.code.close()

    def result(self) -> Any:
        """The value, or raises the error."""
        if self.error is not None:
            raise self.error
        return self.value


class Fan:
    """Strands side by side, each in a scope of its own."""

    def __init__(self, core: Core, name: str, kind: ScopeKind) -> None:
        self._core = core
        self._scope = core.machine.scopes.open(core.scope, name, kind)
        self.around = core.strand
        self.ready: deque[Strand] = deque()
        self.running: dict[int, Strand] = {}

    def begin(self, index: int, name: str, code: Code) -> None:
        """Adds a strand; it is driven when its turn has come."""
        scope = self._core.machine.scopes.open(self._scope, name, ScopeKind.SEQUENCE)
        strand = Strand(self._core, code, scope, self, index)
        self.running[index] = strand
        strand.wake()

    def next_ended(self) -> Generator[Any, None, Strand | None]:
        """Waits for the next strand to end; `None` if none is left."""
        while self.running:
            while self.ready:
                strand = self.ready.popleft()
                if not strand.ended and strand.drive():
                    del self.running[strand.index]
                    self._core.machine.scopes.close(strand.scope)
                    return strand
                if not self._core.machine.is_running:
                    break
            yield WAIT
        return None

    def close(self) -> None:
        """Gives up the strands that are left."""
        self._core.losing += 1
        try:
            for strand in list(self.running.values()):
                strand.close()
                self._core.machine.scopes.close(strand.scope)
            self.running.clear()
        finally:
            self._core.losing -= 1
            self._core.machine.scopes.close(self._scope)


def scoped(core: Core, scope: int, code: Code) -> Code:
    """Code that asks in a scope of its own, within the strand of the code around it."""

    def step(send: Callable[[], Any]) -> Any:
        outer, core.scope = core.scope, scope
        try:
            return send()
        finally:
            core.scope = outer

    try:
        while True:
            try:
                yielded = step(lambda: code.send(None))
            except StopIteration as end:
                return end.value
            yield yielded
    finally:
        step(code.close)
        core.machine.scopes.close(scope)
