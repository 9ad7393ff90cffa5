"""A worker that is told to stop ends, whatever its code does and though its server is gone."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from polos import Client, Server

STUBBORN = Path(__file__).parent / "stubborn.py"
LIMIT_S = 60
"""Much longer than the drain and its grace, on a busy machine too."""


def is_there(mark: Path) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not mark.exists():
        assert time.monotonic() < deadline, "the run did not begin"
        time.sleep(0.02)


@pytest.mark.parametrize("where", ["waits", "thread", "task", "loop"])
def test_a_worker_without_a_server_ends_on_sigterm(where: str, tmp_path: Path) -> None:
    mark = tmp_path / "mark"

    async def begin(server: Server) -> None:
        async with Client(server.address.url, server.address.token) as client:
            await client.start(f"stubborn.{where}", None)
            await asyncio.to_thread(is_there, mark)

    with Server(tmp_path / "data") as server:
        address = server.address
        environment = {**os.environ, "POLOS_URL": address.url, "POLOS_TOKEN": address.token}
        command = [sys.executable, str(STUBBORN), str(mark)]
        worker = subprocess.Popen(command, env=environment)
        try:
            asyncio.run(begin(server))
            server.kill()
            worker.send_signal(signal.SIGTERM)
            code = worker.wait(LIMIT_S)
        finally:
            worker.kill()
            worker.wait()
    assert code == (0 if where == "waits" else 128 + signal.SIGTERM)
