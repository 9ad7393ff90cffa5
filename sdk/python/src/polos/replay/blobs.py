"""Values kept apart: fetching them before they are handed out, storing large ones before they are
referred to."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any

from polos import limits
from polos.errors import Failure
from polos.replay import derive, ending
from polos.replay.wire import NewRecord
from polos.value import Value, dumps

if TYPE_CHECKING:
    from polos.replay.machine import Machine

_FETCH_AHEAD = 8
"""How many outcomes ahead of the code are fetched."""
_PIECE_CHARS = 64 << 10
"""A piece of a stored value, in characters of up to four bytes; escaping may double it."""


@dataclass(slots=True)
class Storing:
    """A value on its way, and what waits until it is kept: records, or (`None`) the output."""

    value: Value
    waiting: list[tuple[NewRecord, int | None] | None]


@dataclass(slots=True)
class Blobs:
    """Values that are here, asked for, or on their way."""

    fetched: dict[str, Value] = field(default_factory=dict[str, Value])
    fetching: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    storing: dict[str, Storing] = field(default_factory=dict[str, Storing])

    @property
    def is_busy(self) -> bool:
        """True while values are on their way."""
        return bool(self.fetching or self.storing)


def resolve(machine: Machine, value: Value) -> Value | None:
    """The value itself; asks for it if it is kept apart and not here."""
    if value.reference is None:
        return value
    hash = value.reference[0]
    found = machine.blobs.fetched.get(hash)
    if found is None:
        _fetch(machine, hash)
    return found


def _fetch(machine: Machine, hash: str) -> None:
    if hash not in machine.blobs.fetched and hash not in machine.blobs.fetching:
        machine.blobs.fetching[hash] = []
        machine.frame("fetch", {"run": machine.run, "hash": hash}, hash)


def prefetch(machine: Machine) -> None:
    """Asks for what is handed out next."""
    for item in islice(machine.journal.queue, _FETCH_AHEAD):
        if item.value is not None and item.value.reference is not None:
            _fetch(machine, item.value.reference[0])


def forget(machine: Machine, value: Value | None) -> None:
    """The outcome has been handed to the code."""
    if value is not None and value.reference is not None:
        machine.blobs.fetched.pop(value.reference[0], None)


def received(machine: Machine, piece: dict[str, Any]) -> None:
    """A piece of a value that was asked for."""
    hash: str = piece["hash"]
    pieces = machine.blobs.fetching.get(hash)
    if pieces is None:
        return
    if piece["size"] == 0:
        ending.block_misuse(
            machine,
            f"the server does not have value `{hash}`, to which the journal refers",
            "restore it from a backup, or retry from the step that made it: `polos runs retry RUN`",
        )
        return
    have = sum(len(text.encode()) for text in pieces)
    if piece["offset"] != have:
        return
    pieces.append(piece["text"])
    if have + len(piece["text"].encode()) < piece["size"]:
        return
    del machine.blobs.fetching[hash]
    value = Value(text="".join(pieces))
    try:
        _ = value.data
    except ValueError as cause:
        ending.block_unreadable(machine, str(cause))
        return
    machine.blobs.fetched[hash] = value


def submit_valued(machine: Machine, record: NewRecord, request: int | None, value: Value) -> None:
    """Sends a record with its value; a large one is stored first."""
    if value.fits_inline:
        record.value = value
        machine.submit(record, request)
    elif value.size > limits.BLOB_BYTES_MAX:
        record.error = too_large(value)
        machine.submit(record, request)
    else:
        _store(machine, value, (record, request))


def store_output(machine: Machine, value: Value) -> None:
    """Stores an output that is too large for a frame."""
    if value.size > limits.BLOB_BYTES_MAX:
        ending.end_failed(machine, too_large(value), None)
    else:
        _store(machine, value, None)


def _store(machine: Machine, value: Value, waits: tuple[NewRecord, int | None] | None) -> None:
    hash = derive.sha256_hex(value.text)
    storing = machine.blobs.storing.get(hash)
    if storing is not None:
        storing.waiting.append(waits)
        return
    machine.blobs.storing[hash] = Storing(value, [waits])
    _send_pieces(machine, hash, value)


def _send_pieces(machine: Machine, hash: str, value: Value) -> None:
    size, offset = value.size, 0
    for piece in _pieces(value.text):
        body = {"run": machine.run, "hash": hash, "size": size, "offset": offset, "text": piece}
        machine.frame_text("store", dumps(body), hash)
        offset += len(piece.encode())


def _pieces(text: str) -> Iterator[str]:
    for begin in range(0, len(text), _PIECE_CHARS):
        yield text[begin : begin + _PIECE_CHARS]


def stored(machine: Machine, hash: str) -> None:
    """A value is kept: what waited for it may refer to it."""
    storing = machine.blobs.storing.pop(hash, None)
    if storing is None:
        return
    reference = Value(reference=(hash, storing.value.size))
    for waits in storing.waiting:
        if waits is None:
            ending.complete_stored(machine, reference)
        else:
            record, request = waits
            record.value = reference
            machine.submit(record, request, storing.value)


def repeat(machine: Machine) -> None:
    """The connection is a new one: what was asked for or on its way is sent again."""
    for hash in list(machine.blobs.fetching):
        del machine.blobs.fetching[hash]
        _fetch(machine, hash)
    for hash, storing in machine.blobs.storing.items():
        _send_pieces(machine, hash, storing.value)


def too_large(value: Value) -> Failure:
    """The failure of a value beyond all limits."""
    message = (
        f"a value of {value.size} bytes is larger than the limit of {limits.BLOB_BYTES_MAX} bytes; "
        "keep it elsewhere and record where"
    )
    return Failure("value_too_large", message, terminal=True)
