"""Where this process runs, so that a server on the same machine sees it end at once."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any


def host() -> dict[str, Any]:
    """This process, as far as the system tells."""
    try:
        namespace = os.readlink("/proc/self/ns/pid")
    except OSError:
        namespace = ""
    return {
        "name": socket.gethostname() or "unknown",
        "boot": _read("/proc/sys/kernel/random/boot_id"),
        "pid": os.getpid(),
        "pid_start": start_time(_read("/proc/self/stat")),
        "pid_namespace": namespace,
    }


def _read(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""


def start_time(stat: str) -> int:
    """Field 22 of `/proc/PID/stat`: the program's name before it may hold spaces and parentheses."""
    fields = stat[stat.rfind(")") + 1 :].split()
    return int(fields[19]) if len(fields) > 19 and ")" in stat else 0
