"""How a run leaves this process: completed, failed, blocked or given back. What was said is said
again after a re-attachment, until the server answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from polos.errors import Failure
from polos.replay import blobs, diverge, effect
from polos.replay.phase import Ending, Phase
from polos.value import Value, dumps

if TYPE_CHECKING:
    from polos.replay.machine import Machine


def complete(machine: Machine, value: Value) -> None:
    """The code has ended with an output."""
    if not machine.is_running or not diverge.admit_orphans(machine):
        return
    effect.stop_all(machine)
    if value.fits_inline:
        _end(machine, "complete", f'"value":{value.wire()}')
    else:
        machine.phase = Phase.STORING
        blobs.store_output(machine, value)


def complete_stored(machine: Machine, reference: Value) -> None:
    """The large output is kept."""
    if machine.phase is Phase.STORING:
        _end(machine, "complete", f'"value":{reference.wire()}')


def fail(machine: Machine, failure: Failure, step: str | None) -> None:
    """An error has left the code, from a step if `step` says so."""
    if not machine.is_running or (machine.cancel is None and not diverge.admit_orphans(machine)):
        return
    end_failed(machine, failure, step)


def end_failed(machine: Machine, failure: Failure, step: str | None) -> None:
    """The same, without a look at the journal."""
    from_step = "" if step is None else f',"step":{dumps(step)}'
    _end(machine, "fail", f'"error":{dumps(failure.to_json())}{from_step}')


def block(
    machine: Machine,
    code: str,
    message: str,
    hint: str,
    *,
    step: str | None = None,
    difference: tuple[list[str], list[str]] | None = None,
    failure: Failure | None = None,
) -> None:
    """The run cannot go on without a person. `difference` is what is recorded and what is asked."""
    if machine.phase not in (Phase.LOADING, Phase.RUNNING):
        return
    blocked: dict[str, Any] = {"code": code, "message": message, "hint": hint}
    if step is not None:
        blocked["step"] = step
    if difference is not None:
        blocked["difference"] = {"recorded": difference[0], "asked": difference[1]}
    if failure is not None:
        blocked["failure"] = failure.to_json()
    _end(machine, "block", f'"blocked":{dumps(blocked)}')


def block_misuse(machine: Machine, message: str, hint: str) -> None:
    """The code misused its context."""
    block(machine, "misuse", message, hint)


def block_unreadable(machine: Machine, cause: str) -> None:
    """The journal holds what this build cannot read."""
    block_misuse(
        machine,
        f"a record of this run cannot be read or written by this build: {cause}",
        "start a worker of the version that wrote it, then `polos runs resume RUN`",
    )


def give_back(machine: Machine) -> None:
    """Gives the run back whole: another worker goes on with it from its journal."""
    if machine.phase in (Phase.LOADING, Phase.RUNNING):
        _end(machine, "release", "")


def _end(machine: Machine, kind: str, body: str) -> None:
    effect.stop_all(machine)
    machine.waiting = None
    machine.phase = Phase.ENDING
    machine.ending = Ending(kind, body)
    if machine.wire.can_send:
        repeat(machine)


def repeat(machine: Machine) -> None:
    """Says how the run ends, again if it was said before."""
    if machine.phase is not Phase.ENDING or machine.ending is None:
        return
    kind, rest = machine.ending.kind, machine.ending.body
    body = f'"run":"{machine.run}","assignment":{machine.assignment}'
    if kind != "release":
        body += f',"n":{machine.wire.n},{rest}'
    machine.frame_text(kind, "{" + body + "}")
