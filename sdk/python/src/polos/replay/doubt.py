"""`once` steps in doubt: nobody knows whether the effect happened. A verification settles it, or a
person does; it is never blindly repeated."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from polos import keys
from polos.errors import Failure
from polos.replay import derive, effect, ending
from polos.replay.journal import SETTLED_BY_VERB, SETTLED_NOT_DONE, Item, Slot
from polos.replay.request import EffectKind, Request, Sort, Stage, Verdict
from polos.replay.wire import NewRecord
from polos.value import NULL, Value, dumps

if TYPE_CHECKING:
    from polos.replay.machine import Machine

_QUESTION = "settle"
"""The name of the question under the step's key."""


def look_up_question(machine: Machine, request: Request) -> None:
    """On replay: an intent without an outcome. If a person is being asked already, their answer
    comes in its place in the journal; otherwise the doubt is settled when the code is idle."""
    slots = machine.journal.slots
    used = slots[request.key].settled_used
    while keys.child(request.key, _QUESTION, request.settles + 1) in slots:
        request.settles += 1
    if request.settles > used and _settled_by_verb(machine, request.key) is None:
        request.question = keys.child(request.key, _QUESTION, request.settles)
        request.stage = Stage.SETTLING
        machine.journal.asked(request.question, request.id)
    else:
        machine.fresh.append(request.id)


def recorded(machine: Machine, request: Request, timeout_ms: int, now: int) -> None:
    """A doubt from an earlier assignment: it may still be acting until its lease and the step's
    time limit have ended, unless its process is known to be gone, or the receiver keeps late comers
    out by itself."""
    previous: dict[str, Any] | None = machine.start.get("previous")
    is_fenced = request.spec is not None and request.spec.is_fenced
    if previous is not None and not previous["dead"] and not is_fenced:
        doubt(machine, request, previous["lease_end_ms"] + timeout_ms, now)
    else:
        doubt(machine, request, now, now)


def doubt(machine: Machine, request: Request, at: int, now: int) -> None:
    """The step is in doubt, and is to be settled at a time."""
    request.stage, request.due = Stage.DOUBT, at
    if at <= now and machine.wire.may_start:
        settle(machine, request, now)
    else:
        machine.at(at, request.id)


def settle(machine: Machine, request: Request, now: int) -> None:
    """By a person's order, by asking the world, or by asking a person."""
    settled = _settled_by_verb(machine, request.key)
    if settled is not None:
        _follow_verb(machine, request, settled, now)
    elif request.spec is not None and request.spec.has_verify:
        effect.begin(machine, request, EffectKind.VERIFY)
    else:
        _ask_person(machine, request)


def _settled_by_verb(machine: Machine, key: str) -> dict[str, Any] | None:
    """A person's word by `polos runs settle` that has not been followed yet."""
    slot = machine.journal.slots.get(key)
    used = slot.verbs_used if slot is not None else 0
    settled: list[dict[str, Any]] = machine.start.get("settled", [])
    about = [one for one in settled if one["key"] == key]
    return about[used] if used < len(about) else None


def _follow_verb(machine: Machine, request: Request, settled: dict[str, Any], now: int) -> None:
    if settled.get("done") is not None:
        value = Value.from_wire(settled["done"])
        effect.submit_step(machine, request, value, None, None, settled["by"])
        return
    slot = machine.journal.slots.get(request.key)
    if slot is not None:
        slot.verbs_used += 1
    failure = Failure(SETTLED_BY_VERB, f"`{settled['by']}` says that it was not done")
    effect.try_again(machine, request, failure, None, now)


def verified(machine: Machine, request: Request, verdict: Verdict, now: int) -> None:
    """The world's answer."""
    if not verdict.is_known:
        _ask_person(machine, request)
    elif verdict.is_done:
        effect.submit_step(machine, request, verdict.value or NULL, None, None, "verify")
    else:
        _verified_not_done(machine, request, now)


def _verified_not_done(machine: Machine, request: Request, now: int) -> None:
    """It surely did not happen: it runs again, unless its own errors have used up its attempts."""
    cause, request.cause = request.cause, None
    spec = request.spec
    if spec is None:
        return
    if cause is None:
        failure = Failure("not_done", "`verify` found that it was not done")
        effect.try_again(machine, request, failure, None, now)
    elif request.attempt >= spec.retry.attempts or cause.terminal:
        effect.submit_step(machine, request, None, cause, None, "verify")
    else:
        wait = spec.retry.delay_ms(1, 0.0, None)
        effect.try_again(machine, request, cause, None, now + wait)


def _ask_person(machine: Machine, request: Request) -> None:
    request.settles += 1
    request.question = keys.child(request.key, _QUESTION, request.settles)
    request.stage = Stage.SETTLING
    args = request.spec.args if request.spec is not None else None
    approval: dict[str, Any] = {
        "title": f"did `{request.key}` go through?",
        "kind": "settle",
        "subject": {
            "step": request.key,
            "idempotency_key": derive.idempotency_key(machine.run, request.key, machine.generation),
            "arguments": args.data if args is not None else None,
            "error": request.cause.to_json() if request.cause is not None else None,
        },
    }
    slot = Slot(0, None, Sort.SETTLE)
    slot.request = request.id
    machine.journal.slots[request.question] = slot
    detail = dumps({"approval": approval})
    machine.submit(NewRecord("open", request.question, request.after, detail=detail))


def settled_by_person(machine: Machine, request: Request, item: Item, now: int) -> None:
    """The person's answer has its turn."""
    answer: dict[str, Any] | None = item.value.data if item.value is not None else None
    if answer is None:
        ending.block(
            machine,
            "step_in_doubt",
            f"nobody has said whether once step `{request.key}` went through",
            f"`polos runs settle RUN '{request.key}' --done JSON` or `--not-done`",
            step=request.key,
            failure=item.error,
        )
    elif answer["approved"]:
        value = Value(data=answer.get("value"))
        effect.submit_step(machine, request, value, None, None, answer["by"])
    else:
        failure = Failure(SETTLED_NOT_DONE, f"`{answer['by']}` says that it was not done")
        effect.try_again(machine, request, failure, None, now)


def lease_lost(machine: Machine, now: int) -> None:
    """Nothing was heard for the lease: effects are stopped and none begins until the connection
    stands again. What may repeat then begins again; a `once` step is in doubt."""
    machine.wire.may_start = False
    for request in list(machine.requests.values()):
        if request.stage not in (Stage.RUNNING, Stage.VERIFYING):
            continue
        effect.stop(machine, request)
        if request.is_once:
            doubt(machine, request, 0, now)
        else:
            effect.back_off(machine, request, 0)
