"""A dry replay: the code runs against a stored journal, and the first thing that it would do anew is
said instead of done. No effect begins, and nothing is sent.

Like the machine it does no I/O and keeps no clock: it says what it wants, a page or a value, and in
the end what it found."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from polos.replay import rehearsed
from polos.replay.machine import Settings
from polos.replay.run import BeginEffect, Body, Run
from polos.replay.wire import Frame, Records

_SHOWN = 3
"""How many things are named before the rest is counted."""
_ASKS = ("more", "fetch")


@dataclass(slots=True)
class _Turn:
    """What the code would do at the journal's end."""

    begun: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    """What is begun, opened or published: the step and words for it."""
    blocked: dict[str, Any] | None = None
    rests: str | None = None
    """How the run would rest or end."""
    marked: tuple[int, int] | None = None
    """The highest number, and the count, of records that only mark something: they are taken as
    recorded."""


class Rehearsal:
    """A dry replay of one run."""

    def __init__(self, start: dict[str, Any], body: Body, settings: Settings, now: int) -> None:
        self._start = start
        self._build = settings.build
        self._now = max(now, start["now"])
        self._run = Run(start, body, replace(settings, hot_ms=0), self._now)
        self._asks: deque[tuple[str, dict[str, Any]]] = deque()
        self._notes: list[str] = []

    def take(self, kind: str, body: dict[str, Any]) -> None:
        """A page or a value that was asked for."""
        if kind == "append":
            self._run.append(body, self._now)
        else:
            self._run.blob(body)

    def go_on(self) -> tuple[str, dict[str, Any]]:
        """Lets the code go on as far as it goes. What is needed next, or `replayed`."""
        while True:
            turn = self._turn()
            if self._asks:
                return self._asks.popleft()
            machine = self._run.machine
            if not machine.is_loaded:
                return "more", {**machine.reference(), "seq": machine.have}
            finding = self._found(turn)
            if finding is None and turn.marked is None:
                message = "the code neither goes on nor waits for anything"
                finding = {"result": "unchecked", "message": message}
            if finding is not None:
                return "replayed", self._replayed(finding)
            assert turn.marked is not None
            n, count = turn.marked
            self._run.recorded(n, machine.have + count, self._now, self._now)

    def _turn(self) -> _Turn:
        """Hears all that the run wants, and does none of it."""
        self._run.turn(self._now)
        turn = _Turn()
        while (output := self._run.next_output()) is not None:
            if isinstance(output, BeginEffect):
                begin = output.begin
                turn.begun.append((begin.key, rehearsed.begin(begin)))
            elif isinstance(output, Records):
                self._records(turn, output)
            elif isinstance(output, Frame):
                self._frame(turn, output)
        return turn

    def _records(self, turn: _Turn, output: Records) -> None:
        for record in output.records:
            if record.kind == "marker":
                self._notes.append(rehearsed.marker(record))
            elif record.kind != "lost":  # The loser of a race is known from the journal.
                turn.begun.append((record.key, rehearsed.record(record)))
        before = 0 if turn.marked is None else turn.marked[1]
        turn.marked = output.records[-1].n, before + len(output.records)

    def _frame(self, turn: _Turn, frame: Frame) -> None:
        body: dict[str, Any] = json.loads(frame.body)
        if frame.kind in _ASKS:
            self._asks.append((frame.kind, body))
        elif frame.kind == "block":
            turn.blocked = body["blocked"]
        elif frame.kind == "complete":
            turn.rests = "ends with its output"
        elif frame.kind == "store":
            turn.rests = "gives a large value"
        elif frame.kind == "fail":
            error = body["error"]
            turn.rests = f"ends with an error: {error['message']} ({error['code']})"
        elif frame.kind == "wait":
            turn.rests = f"waits for {_joined(_leaves(body['wait']))}"

    def _found(self, turn: _Turn) -> dict[str, Any] | None:
        if turn.blocked is not None:
            return self._blocked(turn.blocked)
        if turn.begun:
            unasked = self._run.unasked()
            if unasked:
                return {
                    "result": "inserts",
                    "steps": [key for key, _ in turn.begun],
                    "unchecked": unasked,
                }
            return {"result": "agrees", "next": _joined(words for _, words in turn.begun)}
        return None if turn.rests is None else {"result": "agrees", "next": turn.rests}

    def _blocked(self, blocked: dict[str, Any]) -> dict[str, Any]:
        if blocked["code"] == "step_in_doubt":
            return {"result": "agrees", "next": blocked["message"]}
        if self._run.raised is not None:
            self._notes.append(f"the code has raised: {self._run.raised}")
        return {"result": "differs", "blocked": blocked}

    def _replayed(self, finding: dict[str, Any]) -> dict[str, Any]:
        self._run.close()
        return replayed(self._start, self._build, finding, self._notes)


def replayed(
    start: dict[str, Any], build: str, finding: dict[str, Any], notes: list[str]
) -> dict[str, Any]:
    """How the dry replay of a run ended."""
    return {"run": start["run"], "build": build, "finding": finding, "notes": notes}


def _leaves(wait: dict[str, Any]) -> Iterator[str]:
    if "key" in wait:
        yield f"`{wait['key']}`"
    elif "until" in wait:
        yield "the next attempt"
    else:
        for inner in next(iter(wait.values())):
            yield from _leaves(inner)


def _joined(words: Iterable[str]) -> str:
    """The first few, and how many more."""
    every = list(words)
    shown = ", ".join(every[:_SHOWN])
    return f"{shown} and {len(every) - _SHOWN} more" if len(every) > _SHOWN else shown
