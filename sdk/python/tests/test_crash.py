"""A worker that is killed in the middle of its work."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from polos import Client, Server

PROGRAMS = Path(__file__).parent / "programs.py"


def start_worker(server: Server, log: Path) -> subprocess.Popen[bytes]:
    address = server.address
    environment = {**os.environ, "POLOS_URL": address.url, "POLOS_TOKEN": address.token}
    return subprocess.Popen([sys.executable, str(PROGRAMS), str(log)], env=environment)


def wait_for_line(log: Path, line: str) -> None:
    deadline = time.monotonic() + 30
    while not log.exists() or line not in log.read_text().splitlines():
        assert time.monotonic() < deadline, f"`{line}` did not come"
        time.sleep(0.02)


def test_a_killed_worker_repeats_no_recorded_step(server: Server, tmp_path: Path) -> None:
    log = tmp_path / "log"

    async def main() -> list[str]:
        async with Client(server.address.url, server.address.token) as client:
            worker = start_worker(server, log)
            run = await client.start("three", "a")
            await asyncio.to_thread(wait_for_line, log, "begin a 2")
            worker.send_signal(signal.SIGKILL)
            worker.wait()
            second = start_worker(server, log)
            try:
                return await run.result()
            finally:
                second.terminate()
                second.wait()

    assert asyncio.run(main()) == ["a 1", "a 2", "a 3"]
    lines = log.read_text().splitlines()
    assert [lines.count(line) for line in ("a 1", "a 2", "a 3")] == [1, 1, 1]
    assert lines.count("begin a 2") == 2
