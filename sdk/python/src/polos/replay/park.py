"""Waiting: when nothing runs here, the server is told what the run waits for, and after a while
asked to park it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from polos.replay import diverge, ending
from polos.replay.phase import Said, Waiting
from polos.replay.request import Request, Stage
from polos.replay.scope import ROOT, ScopeKind

if TYPE_CHECKING:
    from polos.replay.machine import Machine

_Tree = tuple[dict[str, Any], bool]
"""A wait, and whether it is a single outcome with no code of its own behind it."""


def rest(machine: Machine, now: int) -> None:
    """Nothing is to be done for the code: says so, if nothing runs either."""
    quiet = _is_quiet(machine, now)
    if machine.draining and not quiet and not machine.has_effects and machine.wire.is_quiet:
        ending.give_back(machine)
        return
    told = machine.waiting is not None and machine.waiting.said is not Said.NOTHING
    if told or not quiet or not diverge.admit_orphans(machine):
        return
    if not machine.wire.is_quiet:
        return  # A warning about an orphan has gone out just now.
    wait = wait_tree(machine)
    if wait is None:
        return
    machine.frame("wait", _told(machine, wait))
    hot_ms = 0 if machine.draining else machine.settings.hot_ms
    machine.waiting = Waiting(wait, now + hot_ms)
    park_when_cold(machine, now)


def _told(machine: Machine, wait: dict[str, Any]) -> dict[str, Any]:
    return {**machine.reference(), "seq": machine.have, "n": machine.wire.n, "wait": wait}


def _is_quiet(machine: Machine, now: int) -> bool:
    if not machine.is_caught_up or machine.fresh or not machine.wire.is_quiet:
        return False
    if machine.blobs.is_busy:
        return False
    hot_until = now + machine.settings.hot_ms
    return all(_is_waiting(request, hot_until) for request in machine.requests.values())


def _is_waiting(request: Request, hot_until: int) -> bool:
    if request.stage in (Stage.BACKOFF, Stage.DOUBT):
        return request.due > hot_until
    return request.stage in (Stage.OPENED, Stage.SETTLING, Stage.DONE)


def park_when_cold(machine: Machine, now: int) -> None:
    """Asks the server to park the run when it has waited here for long enough."""
    waiting = machine.waiting
    if waiting is None or waiting.said is not Said.WAIT or waiting.park_ms > now:
        return
    waiting.said = Said.PARK
    machine.frame("park", _told(machine, waiting.wait))


def say_again(machine: Machine) -> None:
    """The connection is gone, or another stands: what was said on it may be lost."""
    if machine.waiting is not None:
        machine.waiting.said = Said.NOTHING


def waits_for(machine: Machine) -> dict[str, Any] | None:
    """What the run waits for, if nothing runs here and nothing will before the server sends
    something. What `hello` says of it, so that no slot is counted for it."""
    if machine.waiting is None or not machine.is_running:
        return None
    return machine.waiting.wait


def wait_tree(machine: Machine) -> dict[str, Any] | None:
    """What would let the code go on, as a tree along the code's own branches. Handles that the code
    does not await (no waker) are left out."""
    leaves: dict[int, list[_Tree]] = {}
    inner: dict[int, set[int]] = {}
    for request in machine.requests.values():
        leaf = _leaf(request)
        if leaf is None:
            continue
        leaves.setdefault(request.awaited_in, []).append((leaf, request.direct))
        number = request.awaited_in
        while (scope := machine.scopes.get(number)) is not None and scope.parent is not None:
            known = inner.setdefault(scope.parent, set())
            if number in known:
                break
            known.add(number)
            number = scope.parent
    tree = _subtree(machine, ROOT, leaves, inner)
    return None if tree is None else tree[0]


def _subtree(
    machine: Machine, number: int, leaves: dict[int, list[_Tree]], inner: dict[int, set[int]]
) -> _Tree | None:
    parts = leaves.pop(number, [])
    for below in sorted(inner.get(number, ())):
        part = _subtree(machine, below, leaves, inner)
        if part is not None:
            parts.append(part)
    scope = machine.scopes.get(number)
    kind = scope.kind if scope is not None else ScopeKind.SEQUENCE
    if kind is ScopeKind.ALL:
        if all(silent for _, silent in parts):
            return _join("all", parts)
        parts = [part for part in parts if not part[1]]
    elif kind is ScopeKind.SEQUENCE and len(parts) == 1:
        return parts[0]
    return _join("first", parts)


def _join(how: str, parts: list[_Tree]) -> _Tree | None:
    if len(parts) > 1:
        return {how: [wait for wait, _ in parts]}, False
    return (parts[0][0], False) if parts else None


def _leaf(request: Request) -> dict[str, Any] | None:
    if request.stage is Stage.OPENED and request.waker is not None:
        return {"key": request.key}
    if request.stage is Stage.SETTLING:
        return {"key": request.question}
    if request.stage in (Stage.BACKOFF, Stage.DOUBT):
        return {"until": request.due}
    return None
