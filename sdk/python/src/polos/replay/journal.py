"""The journal as the machine sees it: what is recorded under each key, and what has not yet been
handed to the code."""

from __future__ import annotations

import heapq
from collections import deque
from dataclasses import dataclass, field
from typing import Any

from polos import keys
from polos.errors import Failure
from polos.replay.request import Sort
from polos.value import Value

SETTLED_NOT_DONE = "settled_not_done"
"""The code of an attempt that a person's "not done" ended, as an answer to the question."""
SETTLED_BY_VERB = "settled_by_verb"
"""The same, as an operator's verb."""

_OPEN_SORTS = {"timer": Sort.TIMER, "event": Sort.EVENT, "child": Sort.CHILD}


class Unreadable(Exception):
    """A record cannot be read by this build."""


@dataclass(slots=True)
class Slot:
    """What the journal holds under one key, until its outcome has been handed to the code."""

    first_seq: int
    build: str | None
    sort: Sort
    fingerprint: str | None = None
    intent_timeout_ms: int | None = None
    """The time limit of a `once` step whose intent is recorded."""
    attempts: int = 0
    """The last journaled failed attempt."""
    next_ms: int = 0
    settled_used: int = 0
    """How many answers to the machine's question were "not done"."""
    verbs_used: int = 0
    """How many orders by the verb were "not done"."""
    has_outcome: bool = False
    lost: bool = False
    """The code has given it up: outcomes are ignored."""
    inserted: bool = False
    held: list[int] = field(default_factory=list[int])
    """Outcomes set aside until the code asks."""
    request: int | None = None

    @property
    def is_grave(self) -> bool:
        """True for what must not be forgotten silently: it may have acted, or lives on its own."""
        return self.intent_timeout_ms is not None or self.sort is Sort.CHILD

    def describe(self, key: str) -> str:
        """One line for a person."""
        once = "once " if self.intent_timeout_ms is not None else ""
        build = self.build or "?"
        return f"{self.first_seq:>5}  {once}{self.sort.value} `{key}` (build {build})"


@dataclass(slots=True)
class Item:
    """A record whose turn is to come."""

    seq: int
    at: int
    kind: str
    key: str
    value: Value | None
    error: Failure | None
    inserted: bool = False
    request: int | None = None
    """The request it answers, where the machine knows it already."""


def removed_note(scope: str, name: str) -> str:
    """How a declared removal is noted."""
    return f"removed {scope} {name}"


class Journal:
    """All that the machine knows of the journal."""

    def __init__(self) -> None:
        self.slots: dict[str, Slot] = {}
        self.unasked: dict[str, int] = {}
        """Recorded requests that the code has not made yet, in the order of their first record."""
        self.queue: deque[Item] = deque()
        """What has not had its turn, in order."""
        self.held: dict[int, Item] = {}
        """Outcomes set aside because newer code has not asked for them yet."""
        self.ready: list[int] = []
        """Held outcomes that have been asked for since: a heap."""
        self.lost: set[str] = set()
        self.patched: set[str] = set()
        self.noted: set[str] = set()
        """Names that were declared removed, and orphans already warned of."""

    def index(self, entry: dict[str, Any]) -> None:
        """Takes in a record that this process did not write itself."""
        try:
            self._index(entry)
        except (KeyError, TypeError, AttributeError) as cause:
            raise Unreadable(f"{type(cause).__name__}: {cause}") from cause

    def _index(self, entry: dict[str, Any]) -> None:
        record: dict[str, Any] = entry["record"]
        kind: str = record["kind"]
        key: str = record["key"]
        detail: dict[str, Any] = record.get("detail") or {}
        if kind == "step":
            self._index_step(entry, record, detail)
        elif kind == "intent":
            slot = self._slot(entry, Sort.STEP)
            slot.intent_timeout_ms = detail["timeout_ms"]
            slot.fingerprint = record.get("fingerprint") or slot.fingerprint
        elif kind == "attempt":
            self._index_attempt(entry, record, detail)
        elif kind == "open":
            self._index_open(entry, record, detail)
        elif kind == "emit":
            self._slot(entry, Sort.EMIT).has_outcome = True
        elif kind == "resolved":
            if (slot := self.slots.get(key)) is not None:
                slot.has_outcome = True
        elif kind == "lost":
            self.lost.add(key)
        elif kind == "marker":
            self._index_marker(key, record["detail"])
        if kind in ("step", "open", "emit", "resolved", "cancel"):
            self._enqueue(entry, record)

    def _enqueue(self, entry: dict[str, Any], record: dict[str, Any]) -> None:
        key: str = record["key"]
        slot = self.slots.get(key)
        value, error = record.get("value"), record.get("error")
        self.queue.append(
            Item(
                seq=entry["seq"],
                at=entry["at"],
                kind=record["kind"],
                key=key,
                value=None if value is None else Value.from_wire(value),
                error=None if error is None else Failure.from_json(error),
                inserted=slot is not None and slot.inserted,
            )
        )

    def _slot(self, entry: dict[str, Any], sort: Sort) -> Slot:
        key: str = entry["record"]["key"]
        slot = self.slots.get(key)
        if slot is None:
            slot = self.slots[key] = Slot(entry["seq"], entry.get("build"), sort)
            if sort is not Sort.SETTLE:
                self.unasked[key] = slot.first_seq
        return slot

    def _index_step(
        self, entry: dict[str, Any], record: dict[str, Any], detail: dict[str, Any]
    ) -> None:
        slot = self._slot(entry, Sort.STEP)
        slot.has_outcome = True
        slot.inserted |= bool(detail.get("inserted", False))
        slot.fingerprint = record.get("fingerprint") or slot.fingerprint

    def _index_attempt(
        self, entry: dict[str, Any], record: dict[str, Any], detail: dict[str, Any]
    ) -> None:
        error: dict[str, Any] = record.get("error") or {}
        code = error.get("code")
        slot = self._slot(entry, Sort.STEP)
        slot.attempts = max(slot.attempts, detail["attempt"])
        slot.next_ms = detail["next_ms"]
        slot.settled_used += code == SETTLED_NOT_DONE
        slot.verbs_used += code == SETTLED_BY_VERB

    def _index_open(
        self, entry: dict[str, Any], record: dict[str, Any], detail: dict[str, Any]
    ) -> None:
        opened: dict[str, Any]
        ((name, opened),) = detail.items()
        if name == "approval":
            sort = Sort.SETTLE if opened.get("kind") == "settle" else Sort.APPROVAL
        else:
            sort = _OPEN_SORTS[name]
        slot = self._slot(entry, sort)
        slot.fingerprint = record.get("fingerprint")
        slot.has_outcome |= sort is Sort.CHILD and bool(opened.get("detached", False))

    def _index_marker(self, key: str, marker: Any) -> None:
        if marker == "cleanup":
            self.noted.add(f"cleanup {key}")
            return
        ((kind, name),) = marker.items()
        if kind == "patched":
            self.patched.add(key)
        elif kind == "removed":
            self.noted.add(removed_note(key, name))
        elif kind == "orphaned":
            self.noted.add(name)
        else:
            raise KeyError(kind)

    def asked(self, key: str, request: int) -> None:
        """The code has asked for `key`: nothing recorded under it is unasked any more."""
        slot = self.slots.get(key)
        if slot is None:
            return
        slot.request = request
        self.unasked.pop(key, None)
        for seq in slot.held:
            heapq.heappush(self.ready, seq)
        slot.held.clear()

    def hold(self, item: Item) -> None:
        """Sets an outcome aside until the code asks for its key."""
        slot = self.slots.get(item.key)
        if slot is not None:
            slot.held.append(item.seq)
        self.held[item.seq] = item

    def has_history(self, frontier: int) -> bool:
        """True while outcomes up to `frontier`, recorded before this process had the run, are still
        to be handed to the code."""
        return bool(self.ready) or (bool(self.queue) and self.queue[0].seq <= frontier)

    def drop_lost_unasked(self) -> None:
        """Given-up keys need not be asked for."""
        for key in list(self.unasked):
            slot = self.slots.get(key)
            if slot is None or slot.lost:
                del self.unasked[key]

    def drop_removed(self, scope: str, name: str) -> bool:
        """Recorded steps of this name in this scope are not asked for any more. True if there were
        some, and this was not said before."""
        first = keys.child(scope, name, 1)

        def is_gone(key: str) -> bool:
            return keys.is_within(key, first) or key.startswith(first + "#")

        before = len(self.unasked)
        self.unasked = {key: seq for key, seq in self.unasked.items() if not is_gone(key)}
        for key, slot in self.slots.items():
            if slot.request is None and is_gone(key):
                slot.lost = True
        self.queue = deque(item for item in self.queue if not is_gone(item.key))
        note = removed_note(scope, name)
        dropped = before != len(self.unasked) and note not in self.noted
        if dropped:
            self.noted.add(note)
        return dropped
