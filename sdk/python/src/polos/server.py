"""A server of one's own, as a child process: for scripts and tests."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import time
from pathlib import Path
from types import TracebackType

from polos import binary
from polos.address import Address, NoServer
from polos.errors import Unreachable

_START = 20.0
"""How long a server may take to start."""
_END_WITH_STDIN = "POLOS_END_WITH_STDIN"
"""With this set, the program ends when its standard input does: when this process has ended."""
_STOP = 5.0
"""How long it may take to stop before it is killed."""


class NativeWorker:
    """`polos worker`: runs the agents of a server, as a child process."""

    def __init__(self, directory: Path, address: Address) -> None:
        self._directory = directory
        self._address = address
        self._process: subprocess.Popen[bytes] | None = None

    def begin(self) -> None:
        """Starts the process; it connects by itself."""
        program = binary.find()
        command = [str(program), "--data-dir", str(self._directory), "worker"]
        # A server over a data directory here is this user's own; one that was named may have others,
        # whose agents are to stay in their boxes.
        if not os.environ.get("POLOS_URL"):
            command.append("--trust-declared-agents")
        environment = {
            **os.environ,
            "POLOS_URL": self._address.url,
            "POLOS_TOKEN": self._address.token,
            _END_WITH_STDIN: "1",
        }
        with (self._directory / "worker.log").open("ab") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                env=environment,
            )

    @property
    def is_running(self) -> bool:
        """True while the process lives."""
        return self._process is not None and self._process.poll() is None

    def stop(self) -> None:
        """Ends it in good order."""
        process, self._process = self._process, None
        if process is not None:
            _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.stdin is not None:
        process.stdin.close()
    process.terminate()
    try:
        process.wait(_STOP)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


class Server:
    """`polos serve` over a data directory, on a free port of this machine. It ends with this process,
    however that ends; its data stays."""

    def __init__(self, directory: Path | str, *, listen: str = "127.0.0.1:0") -> None:
        self.directory = Path(directory)
        self.listen = listen
        self._process: subprocess.Popen[bytes] | None = None
        self.log = self.directory / "server.log"

    def __enter__(self) -> Server:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def address(self) -> Address:
        """Where it listens, and the key to it."""
        return Address.of_directory(self.directory)

    @property
    def pid(self) -> int:
        """Its process id."""
        if self._process is None:
            raise Unreachable("the server is not running")
        return self._process.pid

    def start(self) -> Server:
        """Starts it, and waits until it listens."""
        self.begin()
        deadline = time.monotonic() + _START
        while not self._is_ready():
            self._check(deadline)
            time.sleep(0.02)
        return self

    async def start_async(self) -> Server:
        """The same without blocking the event loop."""
        self.begin()
        deadline = time.monotonic() + _START
        while not self._is_ready():
            self._check(deadline)
            await asyncio.sleep(0.02)
        return self

    def begin(self) -> None:
        """Starts the process."""
        program = binary.find()
        self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        environment = {k: v for k, v in os.environ.items() if k not in ("POLOS_URL", "POLOS_TOKEN")}
        environment[_END_WITH_STDIN] = "1"
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [
                    str(program),
                    "--data-dir",
                    str(self.directory),
                    "serve",
                    "--listen",
                    self.listen,
                ],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                env=environment,
            )

    def _is_ready(self) -> bool:
        import json

        with contextlib.suppress(NoServer, OSError, ValueError):
            Address.of_directory(self.directory)
            said = json.loads((self.directory / "server.json").read_text())
            return said["pid"] == self.pid
        return False

    def _check(self, deadline: float) -> None:
        process = self._process
        if process is not None and process.poll() is not None:
            self._process = None
            tail = self.log.read_text(errors="replace").strip().splitlines()[-3:]
            raise Unreachable(f"the server ended at once: {' / '.join(tail)}")
        if time.monotonic() > deadline:
            self.stop()
            raise Unreachable(f"the server did not start within {_START:.0f} s; see `{self.log}`")

    def kill(self) -> None:
        """Ends it with SIGKILL: for tests."""
        process, self._process = self._process, None
        if process is not None:
            if process.stdin is not None:
                process.stdin.close()
            process.kill()
            process.wait()

    def stop(self) -> None:
        """Ends it in good order."""
        process, self._process = self._process, None
        if process is not None:
            _end(process)
