"""What goes out: records of many runs in one frame, live output coalesced. Filled by the runs,
emptied by the connection's thread."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable

from polos import limits
from polos.replay.wire import Frame, Records

_FRAME_BYTES = limits.FRAME_BYTES_MAX - (128 << 10)
"""A frame is closed when it reaches this."""
_STREAM_BYTES_MAX = 4 << 20
"""Live output beyond this is dropped until the connection has taken some."""
_LAST = frozenset({"wait", "park", "complete", "fail", "block", "release"})
"""Frames that speak of records sent before."""


class Outbox:
    """Frames for one connection; what runs say to an older one is dropped."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._connection = 0
        self._first: list[str] = []
        self._records: list[Records] = []
        self._last: list[str] = []
        self._streams: dict[tuple[str, int], list[str]] = {}
        self._stream_bytes = 0
        self.notify: Callable[[], None] = lambda: None
        """Tells the connection that there is something. Called from any thread."""

    def open(self, connection: int) -> None:
        """A connection begins (or, with 0, ended): what was meant for the last one is dropped."""
        with self._lock:
            self._connection = connection
            self._first, self._records, self._last = [], [], []

    def records(self, connection: int, records: Records) -> None:
        """Records of a run."""
        with self._lock:
            if self._connection != connection:
                return
            self._records.append(records)
        self.notify()

    def frame(self, connection: int, frame: Frame) -> None:
        """A frame of a run."""
        with self._lock:
            if self._connection != connection:
                return
            (self._last if frame.kind in _LAST else self._first).append(frame.text())
        self.notify()

    def now(self, text: str) -> None:
        """Something for the connection itself, such as a pong."""
        with self._lock:
            self._first.append(text)
        self.notify()

    def stream(self, run: str, assignment: int, item: str) -> None:
        """A piece of live output, as JSON text."""
        with self._lock:
            if self._stream_bytes + len(item) > _STREAM_BYTES_MAX:
                return
            self._stream_bytes += len(item)
            self._streams.setdefault((run, assignment), []).append(item)
        self.notify()

    def take(self) -> list[str]:
        """All there is, in as few frames as the limit allows."""
        with self._lock:
            first, records, last = self._first, self._records, self._last
            streams = self._streams
            self._first, self._records, self._last, self._streams = [], [], [], {}
            self._stream_bytes = 0
        frames = first
        for (run, assignment), items in streams.items():
            for batch in _batches(items):
                frames.append(
                    f'{{"type":"stream","body":{{"run":"{run}","assignment":{assignment},'
                    f'"items":[{",".join(batch)}]}}}}'
                )
        frames.extend(_record_frames(records))
        frames.extend(last)
        return frames


def _size(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode())


def _batches(items: Iterable[str]) -> Iterable[list[str]]:
    batch: list[str] = []
    size = 0
    for item in items:
        item_size = _size(item)
        if batch and size + item_size > _FRAME_BYTES:
            yield batch
            batch, size = [], 0
        batch.append(item)
        size += item_size
    if batch:
        yield batch


def _record_frames(all_records: list[Records]) -> Iterable[str]:
    runs: list[str] = []
    size = 0
    for one in all_records:
        batch: list[str] = []
        for record in one.records:
            text = record.text()
            text_size = _size(text)
            if size and size + text_size > _FRAME_BYTES:
                if batch:
                    runs.append(_run_records(one, batch))
                yield _record_frame(runs)
                runs, batch, size = [], [], 0
            batch.append(text)
            size += text_size
        if batch:
            runs.append(_run_records(one, batch))
    if runs:
        yield _record_frame(runs)


def _run_records(one: Records, batch: list[str]) -> str:
    return f'{{"run":"{one.run}","assignment":{one.assignment},"records":[{",".join(batch)}]}}'


def _record_frame(runs: list[str]) -> str:
    return f'{{"type":"record","body":{{"runs":[{",".join(runs)}]}}}}'
