"""The code asks: keys are made, the journal is looked up, changed code is noticed."""

from __future__ import annotations

from polos.errors import Cancelled
from polos.replay import diverge, doubt
from polos.replay.machine import Machine
from polos.replay.request import Ask, EmitSpec, Outcome, Request, Sort, Stage


def ask(machine: Machine, asked: Ask, now: int) -> Request:
    """Takes a request of the code. Its outcome comes when its turn in the journal's order has."""
    number = machine.next_request
    machine.next_request += 1
    key, ambiguous = machine.scopes.take(asked.scope, asked.name)
    key = _renamed(machine, asked, key)
    if ambiguous:
        diverge.block_ambiguous(machine, asked.name, key)
    request = Request(
        id=number,
        key=key,
        scope=asked.scope,
        name=asked.name,
        direct=asked.direct,
        awaited_in=asked.scope,
        what=asked.what,
        after=machine.handed,
        requested_ms=now,
    )
    if machine.cancel is not None and not machine.scopes.is_shielded(asked.scope):
        request.outcome = Outcome(cancelled=Cancelled(machine.cancel.failure))
        request.stage = Stage.DONE
        machine.scopes.release(request.scope, request.name)
    else:
        _look_up(machine, request)
    machine.requests[number] = request
    return request


def take(machine: Machine, request: Request) -> Outcome | None:
    """Hands the outcome of a request to the code, once."""
    if request.outcome is None or machine.requests.pop(request.id, None) is None:
        return None
    return request.outcome


def _renamed(machine: Machine, asked: Ask, key: str) -> str:
    """A step under a new name takes what is recorded under its old one."""
    if asked.was is None:
        return key
    old = machine.scopes.take_silently(asked.scope, asked.was)
    slot = machine.journal.slots.get(old)
    if key not in machine.journal.slots and slot is not None and slot.request is None:
        return old
    return key


def _look_up(machine: Machine, request: Request) -> None:
    slot = machine.journal.slots.get(request.key)
    if slot is None:
        machine.fresh.append(request.id)
        return
    if slot.sort is not request.sort:
        diverge.block_other_sort(machine, request, slot.describe(request.key))
        return
    what = request.what
    asked = None if isinstance(what, EmitSpec) else what.fingerprint
    if not isinstance(what, EmitSpec) and asked and slot.fingerprint not in (None, asked):
        diverge.mismatched(machine, request, what.on_mismatch, slot.fingerprint, asked)
    request.inserted = slot.inserted
    request.attempt = slot.attempts + 1
    if slot.has_outcome:
        request.stage = Stage.RECORDED
    elif request.sort is not Sort.STEP:
        request.stage = Stage.OPENED
    elif slot.intent_timeout_ms is not None:
        request.intended = True
        doubt.look_up_question(machine, request)
    else:
        machine.fresh.append(request.id)
    machine.journal.asked(request.key, request.id)
