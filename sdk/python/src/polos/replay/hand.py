"""Handing outcomes to the code: in the journal's order, one at a time."""

from __future__ import annotations

import heapq
from enum import Enum

from polos.errors import Failure
from polos.replay import blobs, cancel, diverge, doubt, effect
from polos.replay.journal import Item
from polos.replay.machine import Machine
from polos.replay.request import OpenSpec, Outcome, Request, Sort, Stage
from polos.replay.wire import NewRecord
from polos.value import NULL, dumps


class _Turn(Enum):
    """Whose turn it is, where it is not a request's."""

    NOBODY = "nobody asks for it, or ever will"
    UNASKED = "the code has not asked for it yet"


def hand_next(machine: Machine, now: int) -> bool:
    """Hands the next outcome to its request, when the code is idle. `False` means that nothing is
    there to be handed: the code stays idle, and what it asked for is begun."""
    journal = machine.journal
    while machine.is_running:
        if journal.ready:
            item = journal.held.get(journal.ready[0])
            if item is not None and not _has_value(machine, item):
                return False
            seq = heapq.heappop(journal.ready)
            journal.held.pop(seq, None)
            if item is not None and _hand(machine, item, now):
                return True
            continue
        if not journal.queue:
            return False
        if journal.queue[0].kind != "cancel" and not _has_front_value(machine):
            return False
        if _hand(machine, journal.queue.popleft(), now):
            return True
    return False


def _has_front_value(machine: Machine) -> bool:
    item = machine.journal.queue[0]
    if item.value is None or item.value.reference is None:
        return True
    blobs.prefetch(machine)
    return _has_value(machine, item)


def _has_value(machine: Machine, item: Item) -> bool:
    return item.value is None or blobs.resolve(machine, item.value) is not None


def _hand(machine: Machine, item: Item, now: int) -> bool:
    """True if the code has something to do now."""
    if item.kind == "cancel":
        return cancel.raise_cancel(machine, item, now)
    turn = _turn(machine, item)
    if isinstance(turn, Request):
        if turn.stage is Stage.SETTLING and turn.question == item.key:
            doubt.settled_by_person(machine, turn, item, now)
            return False
        return _hand_to(machine, turn, item)
    if turn is _Turn.UNASKED:
        _set_aside(machine, item)
    return False


def _turn(machine: Machine, item: Item) -> Request | _Turn:
    if item.request is not None:
        request = machine.requests.get(item.request)
        return request if request is not None and request.outcome is None else _Turn.NOBODY
    slot = machine.journal.slots.get(item.key)
    if slot is None or slot.lost:
        return _Turn.NOBODY
    if slot.request is None:
        return _Turn.UNASKED
    request = machine.requests.get(slot.request)
    if request is None:
        return _Turn.NOBODY
    if slot.sort is Sort.SETTLE:
        # That the question was asked is nobody's news; its answer is, while it is waited for.
        waits = request.stage is Stage.SETTLING and request.question == item.key
        return request if item.kind != "open" and waits else _Turn.NOBODY
    return request


def _hand_to(machine: Machine, request: Request, item: Item) -> bool:
    if item.kind == "open":
        if not request.is_handle:
            return False
        request.opened = True
        if isinstance(request.what, OpenSpec) and request.what.detached:
            request.outcome = Outcome(value=NULL)
    elif item.error is not None:
        request.outcome = Outcome(failure=item.error)
    else:
        value = blobs.resolve(machine, item.value) if item.value is not None else None
        request.outcome = Outcome(value=value or NULL)
    request.wake()
    machine.scopes.release(request.scope, request.name)
    if request.outcome is not None:
        request.stage = Stage.DONE
        machine.journal.slots.pop(request.key, None)
    blobs.forget(machine, item.value)
    advance(machine, item.seq, item.at, item.inserted)
    return True


def advance(machine: Machine, seq: int, at: int, inserted: bool) -> None:
    """The code's place and time move on; what a newer build inserted does not move its time."""
    machine.handed = max(machine.handed, seq)
    if not inserted:
        machine.code_ms = max(machine.code_ms, at)


def lose(machine: Machine, request: Request) -> None:
    """Takes back a request: its branch lost a race, so its outcome interests nobody."""
    if machine.requests.pop(request.id, None) is None:
        return
    effect.stop(machine, request)
    machine.scopes.release(request.scope, request.name)
    if request.outcome is not None or not machine.is_running:
        return
    never_sent = request.stage is Stage.FRESH and request.spec is None
    slot = machine.journal.slots.get(request.key)
    if slot is not None:
        slot.lost = True
        slot.request = None
    if not never_sent and request.key not in machine.journal.lost:
        submit_lost(machine, request)


def submit_lost(machine: Machine, request: Request) -> None:
    """Journals that a request was given up; a `once` step that may have acted is in doubt."""
    record = NewRecord("lost", request.key, machine.handed)
    if request.may_have_acted:
        record.detail = dumps({"in_doubt": True})
        message = f"once step `{request.key}` was given up while it may have been acting"
        record.error = Failure("step_in_doubt", message)
    machine.submit(record)
    if request.stage is Stage.SETTLING:
        # The machine's question to a person needs no answer any more.
        machine.submit(NewRecord("lost", request.question, machine.handed))


def _set_aside(machine: Machine, item: Item) -> None:
    """An outcome that the code has not asked for, though it is idle: with the build that wrote it
    that cannot be, with another it is kept until the code asks."""
    slot = machine.journal.slots.get(item.key)
    is_question = slot is not None and slot.sort is Sort.SETTLE
    is_own = diverge.is_own(machine, item.key) and not diverge.is_accepted(machine, item.key)
    if is_own and not is_question:
        diverge.block_unasked(machine)
    else:
        machine.journal.hold(item)
