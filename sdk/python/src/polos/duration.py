"""Lengths of time as people write them: seconds, `timedelta`, or a text such as `"24h"`."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TypeAlias

Duration: TypeAlias = "float | timedelta | str"
"""Seconds, a `timedelta`, or a text: `"250ms"`, `"30s"`, `"5m"`, `"24h"`, `"7d"`, `"1h30m"`."""

_UNITS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|[smhdw])")


def milliseconds(duration: Duration) -> int:
    """A duration in milliseconds; `ValueError` if it is none, or negative."""
    if isinstance(duration, timedelta):
        duration = duration.total_seconds()
    if isinstance(duration, str):
        return _of_text(duration)
    if not 0 <= duration < float("inf"):
        raise ValueError(f"`{duration}` is not a duration: it must be finite and not negative")
    return round(duration * 1000)


def _of_text(text: str) -> int:
    stripped = text.strip()
    parts = list(_PART.finditer(stripped))
    if not parts or "".join(part.group() for part in parts) != stripped:
        raise ValueError(f'`{text}` is not a duration: write `"30s"`, `"24h"` or `"1h30m"`')
    return round(sum(float(part[1]) * _UNITS[part[2]] for part in parts))
