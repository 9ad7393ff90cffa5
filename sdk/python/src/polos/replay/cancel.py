"""Cancellation: an entry at a place in the journal, raised at the awaits that stand open there."""

from __future__ import annotations

from dataclasses import replace

from polos.errors import Cancelled, Failure
from polos.replay import effect, ending, hand
from polos.replay.journal import Item
from polos.replay.machine import Machine
from polos.replay.phase import Cancel
from polos.replay.request import Outcome, Request, Stage


def raise_cancel(machine: Machine, item: Item, now: int) -> bool:
    """The run is being cancelled from here on. True if the code hears of it now."""
    if machine.cancel is not None:
        return False
    failure = item.error or Failure("cancelled", "the run was cancelled")
    deadline_ms = max(now, item.at) + machine.settings.cleanup_ms
    machine.cancel = Cancel(failure, deadline_ms)
    for request in list(machine.requests.values()):
        if request.outcome is None and not machine.scopes.is_shielded(request.scope):
            _cancel_request(machine, request, failure)
    hand.advance(machine, item.seq, item.at, inserted=False)
    return True


def _cancel_request(machine: Machine, request: Request, failure: Failure) -> None:
    effect.stop(machine, request)
    slot = machine.journal.slots.get(request.key)
    if slot is not None:
        slot.lost = True
    if request.may_have_acted and request.key not in machine.journal.lost:
        hand.submit_lost(machine, request)
    machine.scopes.release(request.scope, request.name)
    request.outcome = Outcome(cancelled=Cancelled(failure))
    request.stage = Stage.DONE
    request.wake()


def end_cleanup(machine: Machine, now: int) -> None:
    """Ends the run once cleanup has had its time."""
    if machine.cancel is not None and machine.cancel.deadline_ms <= now:
        ending.fail(machine, replace(machine.cancel.failure, code="cancelled"), None)
