"""Effects: beginning them, taking their reports, trying again."""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING, Any

from polos import limits
from polos.errors import Failure
from polos.replay import blobs, derive, diverge, doubt, park
from polos.replay.request import (
    Begin,
    EffectKind,
    EmitSpec,
    Fault,
    OpenSpec,
    Report,
    Request,
    Stage,
    Verdict,
)
from polos.replay.wire import NewRecord, Stop
from polos.value import Value, dumps

if TYPE_CHECKING:
    from polos.replay.machine import Machine


def settle(machine: Machine, now: int) -> None:
    """The code is idle and nothing is there to be handed: begins what it asked for, then says what
    it waits for."""
    if not machine.is_running:
        return
    if machine.fresh and machine.is_caught_up and not machine.draining:
        fresh, machine.fresh = machine.fresh, []
        if not diverge.admit_insertions(machine, fresh):
            return
        for number in fresh:
            request = machine.requests.get(number)
            if request is not None and request.outcome is None and request.stage is Stage.FRESH:
                _set_going(machine, request, now)
    park.rest(machine, now)


def _set_going(machine: Machine, request: Request, now: int) -> None:
    what = request.what
    if isinstance(what, OpenSpec):
        request.stage = Stage.SENT
        record = NewRecord("open", request.key, request.after, detail=what.detail)
        record.fingerprint = what.fingerprint
        record.requested_ms = request.requested_ms
        machine.submit(record, request.id)
    elif isinstance(what, EmitSpec):
        request.stage = Stage.SENT
        record = NewRecord("emit", request.key, request.after, detail=what.detail)
        record.requested_ms = request.requested_ms
        blobs.submit_valued(machine, record, request.id, what.payload)
    else:
        _set_step_going(machine, request, now)


def _set_step_going(machine: Machine, request: Request, now: int) -> None:
    slot = machine.journal.slots.get(request.key)
    if slot is not None and slot.intent_timeout_ms is not None:
        doubt.recorded(machine, request, slot.intent_timeout_ms, now)
    elif slot is not None and slot.next_ms > now:
        back_off(machine, request, slot.next_ms)
    elif request.is_once:
        _submit_intent(machine, request)
    else:
        begin(machine, request, EffectKind.ATTEMPT)


def _submit_intent(machine: Machine, request: Request) -> None:
    spec = request.spec
    if spec is None:
        return
    request.stage, request.due = Stage.GATE, 0
    detail: dict[str, Any] = {
        "timeout_ms": spec.timeout_ms,
        "idempotency_key": derive.idempotency_key(machine.run, request.key, machine.generation),
        "has_verify": spec.has_verify,
    }
    if spec.label is not None:
        detail["label"] = spec.label
    record = NewRecord("intent", request.key, request.after, detail=dumps(detail))
    record.attempt = request.attempt
    record.fingerprint = spec.fingerprint
    record.requested_ms = request.requested_ms
    machine.submit(record, request.id)


def open_gate(machine: Machine, request: Request, now: int) -> None:
    """An intent or an attempt is durable: what waited for it goes on."""
    if request.stage is not Stage.GATE:
        return
    request.intended = True
    if request.due > now:
        back_off(machine, request, request.due)
    else:
        begin(machine, request, EffectKind.ATTEMPT)


def begin(machine: Machine, request: Request, kind: EffectKind) -> None:
    """Begins an effect, unless the lease has ended unheard: then it begins after re-attachment."""
    spec = request.spec
    if spec is None:
        return
    if not machine.wire.may_start:
        back_off(machine, request, 0)
        return
    request.effect = machine.next_effect
    machine.next_effect += 1
    request.stage = Stage.RUNNING if kind is EffectKind.ATTEMPT else Stage.VERIFYING
    machine.waiting = None
    if spec.timeout_ms > machine.settings.step_timeout_ms:
        machine.frame("busy", {**machine.reference(), "for_ms": spec.timeout_ms})
    machine.out.append(
        Begin(
            effect=request.effect,
            request=request.id,
            key=request.key,
            kind=kind,
            attempt=request.attempt,
            timeout_ms=spec.timeout_ms,
            once=spec.once,
        )
    )


def report(machine: Machine, number: int, effect: int, report: Report, now: int) -> None:
    """How an effect ended."""
    request = machine.requests.get(number)
    if not machine.is_running or request is None or request.effect != effect:
        return
    outcome = report.outcome
    if request.stage is Stage.RUNNING:
        if isinstance(outcome, Value):
            submit_step(machine, request, outcome, None, report)
        elif isinstance(outcome, Fault):
            _attempt_failed(machine, request, outcome, report, now)
    elif request.stage is Stage.VERIFYING:
        verdict = outcome if isinstance(outcome, Verdict) else Verdict()
        doubt.verified(machine, request, verdict, now)


def _attempt_failed(
    machine: Machine, request: Request, fault: Fault, report: Report, now: int
) -> None:
    spec, failure = request.spec, fault.failure
    if spec is None:
        return
    if request.is_once and not fault.not_done:
        request.cause = failure
        doubt.doubt(machine, request, now, now)
        return
    again = (
        fault.retryable
        and not failure.terminal
        and request.attempt < spec.retry.attempts
        and failure.code not in spec.retry.not_on
    )
    if not again:
        submit_step(machine, request, None, failure, report)
        return
    drawn = derive.chance(machine.seed, request.key, "jitter", request.attempt)
    unit = derive.unit(derive.number(drawn))
    wait = spec.retry.delay_ms(request.attempt, unit, fault.retry_after_ms)
    try_again(machine, request, failure, report, now + wait)


def try_again(
    machine: Machine, request: Request, failure: Failure, report: Report | None, due: int
) -> None:
    """Journals a failed attempt and waits for the next one."""
    attempt = request.attempt
    request.attempt += 1
    wait = due - (report.ended_ms if report is not None else due)
    detail: dict[str, Any] = {"attempt": attempt, "next_ms": due}
    # A wait that parks must be found again; and what must not be repeated blindly goes on only
    # when the reason for another attempt is durable.
    if not (
        attempt <= limits.ATTEMPTS_JOURNALED or request.is_once or wait > machine.settings.hot_ms
    ):
        request.unjournaled.append({**detail, "message": failure.message})
        back_off(machine, request, due)
        return
    record = NewRecord("attempt", request.key, request.after, detail=dumps(detail))
    record.attempt = attempt
    record.error = failure
    if report is not None:
        record.started_ms, record.ended_ms = report.started_ms, report.ended_ms
    if request.is_once:
        request.stage, request.due = Stage.GATE, due
        machine.submit(record, request.id)
    else:
        machine.submit(record)
        back_off(machine, request, due)


def back_off(machine: Machine, request: Request, due: int) -> None:
    """The next attempt begins at a time."""
    request.stage, request.due = Stage.BACKOFF, due
    machine.at(due, request.id)


def submit_step(
    machine: Machine,
    request: Request,
    value: Value | None,
    failure: Failure | None,
    report: Report | None,
    settled_by: str | None = None,
) -> None:
    """Sends the outcome of a step to the journal."""
    request.stage = Stage.SENT
    record = NewRecord("step", request.key, request.after)
    record.attempt = request.attempt
    record.error = failure
    record.requested_ms = request.requested_ms
    if report is not None:
        record.started_ms, record.ended_ms = report.started_ms, report.ended_ms
    record.fingerprint = request.spec.fingerprint if request.spec is not None else None
    record.detail = _step_detail(request, report, settled_by)
    if value is not None:
        blobs.submit_valued(machine, record, request.id, value)
    else:
        machine.submit(record, request.id)


def _step_detail(request: Request, report: Report | None, settled_by: str | None) -> str | None:
    detail: dict[str, Any] = {}
    spec = request.spec
    if spec is not None and spec.label is not None:
        detail["label"] = spec.label
    if request.is_once:
        detail["effect"] = "once"
    if request.inserted:
        detail["inserted"] = True
    if settled_by is not None:
        detail["settled_by"] = settled_by
    if request.unjournaled:
        detail["last_attempts"] = list(request.unjournaled)
    if report is not None and report.cost_micros is not None:
        detail["cost_micros"] = report.cost_micros
    if report is not None and report.tokens is not None:
        detail["tokens"] = list(report.tokens)
    return dumps(detail) if detail else None


def wake_timed(machine: Machine, now: int) -> None:
    """Times have come: backoffs end, doubts are settled."""
    while machine.wire.may_start and machine.timed and machine.timed[0][0] <= now:
        due, number = heapq.heappop(machine.timed)
        request = machine.requests.get(number)
        if request is None or request.due != due:
            continue
        if request.stage is Stage.BACKOFF:
            if request.is_once and not request.intended:
                _submit_intent(machine, request)
            else:
                begin(machine, request, EffectKind.ATTEMPT)
        elif request.stage is Stage.DOUBT:
            doubt.settle(machine, request, now)


def stop(machine: Machine, request: Request) -> None:
    """Stops the effect of a request, if one runs."""
    if request.stage in (Stage.RUNNING, Stage.VERIFYING):
        machine.out.append(Stop(request.effect))


def stop_all(machine: Machine) -> None:
    """Stops all effects."""
    for request in machine.requests.values():
        stop(machine, request)
