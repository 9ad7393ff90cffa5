"""Where code and journal disagree: what is said, and whether the run may go on."""

from __future__ import annotations

import logging
from itertools import islice
from typing import TYPE_CHECKING

from polos.replay import ending
from polos.replay.request import Mismatch, Request, Sort, Stage
from polos.replay.wire import NewRecord
from polos.value import dumps

if TYPE_CHECKING:
    from polos.replay.machine import Machine

log = logging.getLogger("polos.replay")

_LINES_MAX = 40
"""How many lines of each side a difference shows."""
_HINT = (
    'declare what changed with `was="old name"`, `ctx.removed("name")` or `ctx.patched("id")`, or '
    "bring back the build that recorded the run, then `polos runs resume RUN`; "
    "`polos runs resume RUN --accept` goes on as it is"
)


def is_own(machine: Machine, key: str) -> bool:
    """True if what is recorded under the key was written by this very build."""
    slot = machine.journal.slots.get(key)
    return slot is not None and slot.build == machine.settings.build


def is_accepted(machine: Machine, key: str) -> bool:
    """True if a person has accepted the disagreement about this key."""
    return key in machine.start.get("accepted", ())


def admit_insertions(machine: Machine, fresh: list[int]) -> bool:
    """Requests that the journal does not know, while recorded ones are unasked: insertions by a
    newer build. True if they may go on."""
    journal = machine.journal
    if not journal.unasked:
        return True
    journal.drop_lost_unasked()
    if not journal.unasked:
        return True
    own = any(is_own(machine, key) and not is_accepted(machine, key) for key in journal.unasked)
    asked = [machine.requests[number] for number in fresh if number in machine.requests]
    if own and not all(is_accepted(machine, request.key) for request in asked):
        block_unasked(machine)
        return False
    for request in asked:
        if request.stage is not Stage.FRESH or request.key in journal.slots:
            continue
        grave = request.is_once or request.sort is Sort.CHILD
        if grave and not is_accepted(machine, request.key):
            _block_difference(
                machine,
                request.key,
                f"{request.describe()} is asked for before steps that were recorded by another "
                "build",
            )
            return False
        log.info("`%s` is inserted before recorded steps", request.key)
        request.inserted = True
    return True


def admit_orphans(machine: Machine) -> bool:
    """At park or end: recorded steps that the code never asked for. True if they may be left."""
    journal = machine.journal
    journal.drop_lost_unasked()
    for key in list(journal.unasked):
        slot = journal.slots.get(key)
        if slot is None or is_accepted(machine, key) or key in journal.noted:
            continue
        if is_own(machine, key) and key not in journal.lost:
            block_unasked(machine)
            return False
        if slot.is_grave:
            message = (
                f"`{key}` is recorded, may have acted, and was never asked for by build "
                f"`{machine.settings.build}`"
            )
            _block(machine, "orphaned_step", message, key)
            return False
        log.warning("recorded step `%s` of run %s was never asked for", key, machine.run)
        journal.noted.add(key)
        submit_marker(machine, key, {"orphaned": key})
    return True


def submit_marker(machine: Machine, key: str, marker: dict[str, str] | str) -> None:
    """Journals what the code declares."""
    machine.submit(NewRecord("marker", key, machine.handed, detail=dumps(marker)))


def patched(machine: Machine, scope: int, name: str) -> bool:
    """True if this call was true before, or if nothing recorded lies ahead of the code: then it is
    marked. A call that was false stays false, since each call has its own place."""
    key = machine.scopes.take_silently(scope, f"patched {name}")
    journal = machine.journal
    if key in journal.patched:
        return True
    if machine.is_replaying or journal.unasked or not machine.is_running:
        return False
    journal.patched.add(key)
    submit_marker(machine, key, {"patched": name})
    return True


def removed(machine: Machine, scope: int, name: str) -> None:
    """Declares that recorded steps of this name in this scope are not asked for any more."""
    key = machine.scopes.key(scope)
    if machine.journal.drop_removed(key, name):
        submit_marker(machine, key, {"removed": name})


def mark_cleanup(machine: Machine, key: str) -> None:
    """Journals that a cleanup began during a cancellation."""
    note = f"cleanup {key}"
    if machine.cancel is not None and note not in machine.journal.noted:
        machine.journal.noted.add(note)
        submit_marker(machine, key, "cleanup")


def block_unasked(machine: Machine) -> None:
    """Blocks over what the journal holds and this build, which wrote it, does not ask for."""
    key = next(iter(machine.journal.unasked), None)
    if key is not None:
        build = machine.settings.build
        message = (
            f"the journal holds `{key}`, which build `{build}` itself recorded and now does not "
            "ask for"
        )
        _block_difference(machine, key, message)


def block_other_sort(machine: Machine, request: Request, recorded: str) -> None:
    """Blocks over a key that is recorded as another thing than is asked for."""
    if not is_accepted(machine, request.key):
        ending.block(
            machine,
            "nondeterminism",
            f"`{request.key}` is recorded as another thing than is asked for",
            _HINT,
            step=request.key,
            difference=([recorded], [request.describe()]),
        )


def mismatched(
    machine: Machine, request: Request, policy: Mismatch, recorded: str, asked: str
) -> None:
    """The recorded step is asked for with other arguments."""
    key = request.key
    if policy == "accept" or is_accepted(machine, key):
        return
    if policy == "warn":
        log.warning("`%s` is asked for with other arguments than recorded", key)
        return
    what = request.describe()
    ending.block(
        machine,
        "fingerprint_mismatch",
        f"`{key}` was recorded with other arguments than it is now asked for with",
        "bring back the arguments, rename the step, or go on with the recorded outcome: "
        "`polos runs resume RUN --accept`",
        step=key,
        difference=([f"{what} arguments {recorded}"], [f"{what} arguments {asked}"]),
    )


def block_ambiguous(machine: Machine, name: str, key: str) -> None:
    """Blocks over two open steps of one name in one scope."""
    ending.block(
        machine,
        "ambiguous_step_key",
        f"a second `{name}` was opened in one scope while the first is open",
        "give each its own name, or put each into `ctx.branch(name, …)` or `ctx.map`; then "
        "`polos runs resume RUN`",
        step=key,
    )


def _block_difference(machine: Machine, key: str, message: str) -> None:
    _block(machine, "nondeterminism", message, key)


def _block(machine: Machine, code: str, message: str, key: str) -> None:
    slots = machine.journal.slots
    unasked = islice(machine.journal.unasked, _LINES_MAX)
    recorded = [slots[known].describe(known) for known in unasked if known in slots]
    waiting = (request for request in machine.requests.values() if request.outcome is None)
    asked = [request.describe() for request in islice(waiting, _LINES_MAX)]
    ending.block(machine, code, message, _HINT, step=key, difference=(recorded, asked))
