"""What the server says of this worker's records, of the journal, and of the connection."""

from __future__ import annotations

from typing import Any

from polos.replay import blobs, cancel, effect, ending, park
from polos.replay.journal import Item, Slot, Unreadable
from polos.replay.machine import Machine
from polos.replay.phase import Phase
from polos.replay.request import Begin, OpenSpec, Request, Sort, Stage
from polos.replay.wire import Forget, NewRecord, Sent, Stop


def begin(machine: Machine) -> None:
    """Accepts the run, and takes the first page of its journal."""
    machine.frame("accept", machine.reference())
    first_page: list[dict[str, Any]] = machine.start.pop("journal")
    if first_page:
        _take_page(machine, first_page, machine.frontier)
    _begin_if_loaded(machine)


def appended(machine: Machine, append: dict[str, Any], now: int) -> None:
    """Records that the server has: a further page, or what it added itself."""
    if append["assignment"] != machine.assignment or machine.is_gone:
        return
    machine.waiting = None
    if machine.is_loaded:
        _append_live(machine, append, now)
    else:
        _take_page(machine, append["records"], append["seq"])
        _begin_if_loaded(machine)
    if append.get("more", False):
        machine.ask_more()
    _resend_if_caught_up(machine)


def _take_page(machine: Machine, records: list[dict[str, Any]], upto: int) -> None:
    for record in records:
        if record["seq"] <= machine.have:
            continue
        machine.have = record["seq"]
        if not _index(machine, record):
            return
    machine.have = max(machine.have, upto)


def _index(machine: Machine, record: dict[str, Any]) -> bool:
    try:
        machine.journal.index(record)
    except Unreadable as cause:
        ending.block_unreadable(machine, str(cause))
        return False
    return True


def _begin_if_loaded(machine: Machine) -> None:
    """Lets the code begin once the whole journal is here."""
    if machine.phase is Phase.LOADING and machine.have >= machine.frontier:
        machine.phase = Phase.RUNNING


def _append_live(machine: Machine, append: dict[str, Any], now: int) -> None:
    for record in append["records"]:
        if record["seq"] <= machine.have:
            continue
        machine.have = record["seq"]
        number: int = record["record"].get("n", 0)
        if record["record"]["kind"] == "reset":
            # The past has changed under the code: it must begin anew, from the journal.
            ending.give_back(machine)
            return
        if record.get("assignment") == machine.assignment and number > 0:
            _acknowledge_one(machine, number, record["seq"], record["at"], now)
        elif not _index(machine, record):
            return
    machine.have = max(machine.have, append["seq"])


def recorded(machine: Machine, n: int, seq: int, at: int, now: int) -> None:
    """Record `n` is durable at `seq`, and the unacknowledged ones before it right before it."""
    pending = 0
    for sent in machine.wire.unacknowledged:
        if sent.record.n > n:
            break
        pending += 1
    if pending == 0 or machine.is_gone:
        return
    before = seq - pending
    if machine.have != before:
        # Something of the server's own lies between: it is asked for, and acknowledges too.
        machine.ask_more()
        return
    for offset in range(1, pending + 1):
        _acknowledge(machine, machine.wire.unacknowledged.popleft(), before + offset, at, now)
    machine.have = seq
    _resend_if_caught_up(machine)


def _acknowledge_one(machine: Machine, n: int, seq: int, at: int, now: int) -> None:
    waiting = machine.wire.unacknowledged
    while waiting and waiting[0].record.n < n:
        # It was acknowledged by a record that this process had already seen.
        waiting.popleft()
    if waiting and waiting[0].record.n == n:
        _acknowledge(machine, waiting.popleft(), seq, at, now)


def _acknowledge(machine: Machine, sent: Sent, seq: int, at: int, now: int) -> None:
    record = sent.record
    request = machine.requests.get(sent.request) if sent.request is not None else None
    if record.kind in ("intent", "attempt"):
        if request is not None:
            effect.open_gate(machine, request, now)
        return
    if record.kind not in ("step", "emit", "open"):
        return
    if record.kind == "open":
        _opened(machine, record, sent.request, request, seq)
    elif request is not None and request.outcome is None:
        request.stage = Stage.RECORDED
    machine.journal.queue.append(
        Item(
            seq=seq,
            at=at,
            kind=record.kind,
            key=record.key,
            value=sent.local or record.value,
            error=record.error,
            inserted=sent.inserted,
            request=sent.request,
        )
    )


def _opened(
    machine: Machine, record: NewRecord, number: int | None, request: Request | None, seq: int
) -> None:
    """A wait is open: its outcome comes under its key."""
    if number is None:
        return
    if request is None or request.outcome is not None:
        # It was given up before it was open: its outcome interests nobody.
        slot = Slot(0, None, Sort.TIMER, lost=True)
    else:
        request.stage = Stage.OPENED
        if not isinstance(request.what, OpenSpec):
            return
        slot = Slot(seq, None, request.what.sort, request=number)
    machine.journal.slots[record.key] = slot


def _resend_if_caught_up(machine: Machine) -> None:
    """After a re-attachment: once the journal is known up to where the server said, everything that
    it lacks is sent again."""
    kept = machine.wire.catch_up
    if kept is None or machine.have < kept["seq"] or not machine.is_loaded:
        return
    machine.wire.catch_up = None
    again = (sent.record for sent in machine.wire.unacknowledged)
    machine.wire.batch = [record for record in again if record.n > kept["n"]]
    ending.repeat(machine)


def attached(machine: Machine, kept: dict[str, Any], now: int) -> None:
    """The connection stands: `kept` says what the server has of this run."""
    machine.wire.attached = True
    machine.wire.may_start = True
    machine.wire.catch_up = kept
    park.say_again(machine)
    blobs.repeat(machine)
    _resend_if_caught_up(machine)
    tick(machine, now)


def detached(machine: Machine) -> None:
    """The connection is gone. Effects go on; nothing is sent until the run is attached again."""
    machine.wire.attached = False
    machine.wire.batch.clear()
    park.say_again(machine)
    kept = [output for output in machine.out if isinstance(output, Begin | Stop | Forget)]
    machine.out.clear()
    machine.out.extend(kept)


def forgotten(machine: Machine) -> None:
    """The run is parked, ended or given back (`done`), or taken away (`revoked`)."""
    effect.stop_all(machine)
    machine.phase = Phase.GONE
    machine.out.append(Forget())


def tick(machine: Machine, now: int) -> None:
    """Lets time pass."""
    if machine.is_running:
        cancel.end_cleanup(machine, now)
        effect.wake_timed(machine, now)
        park.park_when_cold(machine, now)
