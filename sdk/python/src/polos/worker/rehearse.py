"""Dry replays by a worker that `polos replay` has started: it reaches no server, and answers over a
Unix socket, a frame a line, whether its code and each stored journal agree."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Mapping
from typing import Any

from polos import limits
from polos.replay.machine import Settings
from polos.replay.rehearsal import Rehearsal, replayed
from polos.value import dumps
from polos.workflow import Workflow

VARIABLE = "POLOS_REPLAY"
"""Names the socket of whoever wants dry replays."""
_LINE_MAX = 6 * limits.BLOB_BYTES_MAX + limits.FRAME_BYTES_MAX
"""A value comes whole in one line, and each of its bytes may be escaped."""

Say = Callable[[str, dict[str, Any]], None]


async def rehearse(
    path: str, hello: dict[str, Any], workflows: Mapping[str, Workflow[Any, Any]]
) -> None:
    """Answers dry replays until the other side is gone."""
    reader, writer = await asyncio.open_unix_connection(path, limit=_LINE_MAX)

    def say(kind: str, body: dict[str, Any]) -> None:
        writer.write(dumps({"type": kind, "body": body}).encode() + b"\n")

    say("hello", hello)
    rehearsal: Rehearsal | None = None
    try:
        while line := await reader.readline():
            frame = json.loads(line)
            kind: str = frame["type"]
            if kind == "start":
                rehearsal = _begin(frame["body"], hello["build"], workflows, say)
            elif rehearsal is not None:
                rehearsal.take(kind, frame["body"])
            if rehearsal is not None:
                asked, body = rehearsal.go_on()
                say(asked, body)
                rehearsal = None if asked == "replayed" else rehearsal
            await writer.drain()
    except ConnectionError:
        return
    finally:
        writer.close()


def _begin(
    start: dict[str, Any], build: str, workflows: Mapping[str, Workflow[Any, Any]], say: Say
) -> Rehearsal | None:
    workflow = workflows.get(start["workflow"])
    if workflow is None:
        message = f"this worker does not run `{start['workflow']}`"
        say("replayed", replayed(start, build, {"result": "unchecked", "message": message}, []))
        return None
    now = int(time.time() * 1000)
    return Rehearsal(start, workflow.body(_unheard), Settings(build), now)


def _unheard(key: str, attempt: int, kind: str, data: str) -> None:
    """Live output of a dry replay."""
