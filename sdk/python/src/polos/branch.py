"""Many branches at once: all of them, the first of them, or one for each item of a list. Each is
code with a scope of its own."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator, Iterable, Sequence
from typing import Any, TypeVar

from polos.pending import Handle, Pending
from polos.replay import diverge
from polos.replay.scope import ScopeKind
from polos.replay.strand import Code, Core, Fan, Misuse, scoped

T = TypeVar("T")

MAP_CONCURRENCY = 32
"""How many items of a map run at once unless it says otherwise."""


class Branch(Awaitable[T]):
    """Code with a scope of its own: see `ctx.branch`."""

    def __init__(self, core: Core, name: str, body: Awaitable[T]) -> None:
        self._core = core
        self.name = name
        self.body = body

    def __await__(self) -> Generator[Any, None, T]:
        core = self._core
        core.check_inside()
        scope = core.machine.scopes.open(core.scope, self.name, ScopeKind.SEQUENCE)
        return (yield from scoped(core, scope, code_of(self.body)))


class Cleanup(Awaitable[T]):
    """Code that runs even though the run is being cancelled: see `ctx.cleanup`."""

    def __init__(self, core: Core, body: Awaitable[T]) -> None:
        self._core = core
        self._body = body

    def __await__(self) -> Generator[Any, None, T]:
        core = self._core
        core.check_inside()
        scopes = core.machine.scopes
        number = scopes.open(core.scope, "cleanup", ScopeKind.SEQUENCE)
        scope = scopes.get(number)
        if scope is not None:
            scope.shielded = True
            diverge.mark_cleanup(core.machine, scope.key)
        return (yield from scoped(core, number, code_of(self._body)))


def code_of(awaitable: Awaitable[Any]) -> Code:
    """The code of something awaitable, to be driven by hand."""
    made: Any = awaitable.__await__()
    if not hasattr(made, "send"):
        raise Misuse(
            f"a `{type(awaitable).__name__}` cannot be a branch",
            hint="give what `ctx` gives, or an `async def` of your own",
        )
    return made


def _begin(fan: Fan, index: int, branch: Awaitable[Any], name: str | None = None) -> None:
    if isinstance(branch, Branch):
        name, body = branch.name, branch.body
    else:
        body = branch
    if isinstance(branch, Pending | Handle):
        branch.direct = True
    fan.begin(index, name if name is not None else str(index), code_of(body))


class Gather(Awaitable[tuple[Any, ...]]):
    """Branches side by side, and the values of all of them: see `ctx.gather`."""

    def __init__(self, core: Core, branches: Sequence[Awaitable[Any]]) -> None:
        self._core = core
        self._branches = branches

    def __await__(self) -> Generator[Any, None, tuple[Any, ...]]:
        self._core.check_inside()
        fan = Fan(self._core, "all", ScopeKind.ALL)
        try:
            for index, branch in enumerate(self._branches):
                _begin(fan, index, branch)
            strands = dict(fan.running)
            while (yield from fan.next_ended()) is not None:
                pass
        finally:
            fan.close()
        return tuple(strands[index].result() for index in range(len(self._branches)))


class Race(Awaitable[tuple[int, Any]]):
    """Branches side by side until the first one ends: see `ctx.race`."""

    def __init__(self, core: Core, branches: Sequence[Awaitable[Any]]) -> None:
        self._core = core
        self._branches = branches

    def __await__(self) -> Generator[Any, None, tuple[int, Any]]:
        self._core.check_inside()
        if not self._branches:
            raise Misuse("a race without branches has no winner")
        fan = Fan(self._core, "race", ScopeKind.FIRST)
        try:
            for index, branch in enumerate(self._branches):
                _begin(fan, index, branch)
            first = yield from fan.next_ended()
        finally:
            fan.close()
        if first is None:
            raise Misuse("a race ended without a winner")
        return first.index, first.result()


class Map(Awaitable[list[Any]]):
    """A branch for each item: see `ctx.map`."""

    def __init__(
        self,
        core: Core,
        name: str,
        each: Callable[[Any], Awaitable[Any]],
        items: Iterable[Any],
        key: Callable[[Any], str] | None,
        concurrency: int,
    ) -> None:
        self._core = core
        self._name = name
        self._each = each
        self._items = list(items)
        self._key = key
        self._concurrency = max(concurrency, 1)

    def __await__(self) -> Generator[Any, None, list[Any]]:
        self._core.check_inside()
        fan = Fan(self._core, self._name, ScopeKind.ALL)
        values: list[Any] = [None] * len(self._items)
        error: BaseException | None = None
        waiting = iter(enumerate(self._items))
        try:
            while True:
                while error is None and len(fan.running) < self._concurrency:
                    following = next(waiting, None)
                    if following is None:
                        break
                    index, item = following
                    name = self._key(item) if self._key is not None else None
                    _begin(fan, index, self._each(item), name)
                ended = yield from fan.next_ended()
                if ended is None:
                    break
                values[ended.index] = ended.value
                error = error or ended.error
        finally:
            fan.close()
        if error is not None:
            raise error
        return values
