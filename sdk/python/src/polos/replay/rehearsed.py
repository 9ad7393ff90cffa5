"""What a dry replay would have done, in words."""

from __future__ import annotations

import json
from typing import Any

from polos.replay.request import Begin, EffectKind
from polos.replay.wire import NewRecord


def begin(begin: Begin) -> str:
    """An effect that would begin."""
    if begin.kind is EffectKind.VERIFY:
        return f"asks the receiver whether `{begin.key}` went through"
    again = f", attempt {begin.attempt}" if begin.attempt > 1 else ""
    return f"runs `{begin.key}`{again}"


def marker(record: NewRecord) -> str:
    """A note for those who come later."""
    detail: Any = json.loads(record.detail or "null")
    if detail == "cleanup":
        return "cleanup begins"
    if "patched" in detail:
        return f"it takes the new path of patch `{detail['patched']}`"
    if "removed" in detail:
        return f"the code has removed `{detail['removed']}`"
    return f"`{detail['orphaned']}` is recorded and not asked for any more"


def record(record: NewRecord) -> str:
    """A record that would be sent."""
    key = record.key
    if record.kind == "intent":
        return f"runs the `once` step `{key}`"
    if record.kind == "emit":
        return f"publishes `{key}`"
    if record.kind == "attempt":
        return f"tries `{key}` again"
    if record.kind == "open":
        return _opened(key, json.loads(record.detail or "{}"))
    return f"records the outcome of `{key}`"


def _opened(key: str, detail: dict[str, Any]) -> str:
    if "timer" in detail:
        return f"sleeps at `{key}`"
    if "event" in detail:
        return f"waits for an event on `{detail['event']['topic']}` at `{key}`"
    if "child" in detail:
        return f"starts `{detail['child']['workflow']}` as `{key}`"
    approval = detail["approval"]
    title: str = approval["title"]
    return title if approval.get("kind") == "settle" else f"asks a person at `{key}`: {title}"
