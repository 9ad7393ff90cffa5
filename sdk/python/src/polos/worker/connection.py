"""The connection to the server, on a thread of its own: a busy user program must not look dead. It
says hello, answers pings, reconnects, and watches the lease."""

from __future__ import annotations

import asyncio
import json
import logging
import random
import threading
from collections.abc import Callable
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, InvalidURI

from polos import limits
from polos.address import Address
from polos.errors import PolosError, Unreachable, WorkerRefused
from polos.value import dumps
from polos.worker.clock import Clock
from polos.worker.outbox import Outbox

log = logging.getLogger("polos.worker")

_WELCOME = 10.0
"""How long a connection and its welcome may take."""
_BACKOFF = (0.05, 5.0)
"""The wait before the first attempt to connect again, and the longest one."""
_FAREWELL = 2.0
"""How long the last frames may take to leave when the worker stops."""
_PATH = "/v1/worker"

Told = Callable[[str, Any], None]
"""Takes what the connection has to say: `welcome`, `frame`, `detached`, `lease_lost`, `fatal`."""


class Broken(Exception):
    """The connection did not come about, or broke off: it is tried again."""

    def __init__(self, why: str, welcomed: bool = False) -> None:
        super().__init__(why)
        self.welcomed = welcomed


class Connection:
    """What the connection's thread works with."""

    def __init__(
        self,
        address: Address,
        hello: Callable[[int], dict[str, Any]],
        outbox: Outbox,
        clock: Clock,
        told: Told,
    ) -> None:
        self._address = address
        self._hello = hello
        """What to say to the connection of this number."""
        self._outbox = outbox
        self._clock = clock
        self._told = told
        self._number = 0
        self._incarnation = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._filled = asyncio.Event()
        self._stopping = asyncio.Event()
        self._socket: ClientConnection | None = None
        self._thread = threading.Thread(target=self._run, name="polos-connection", daemon=True)

    def start(self) -> None:
        """Begins to connect."""
        self._thread.start()

    def stop(self) -> None:
        """Lets the last frames leave, and ends. Called from any thread."""
        self._call(self._stopping.set)

    def join(self) -> None:
        """Waits for the end."""
        self._thread.join(_FAREWELL * 3)

    def drop(self) -> None:
        """Breaks the connection off without a word: for tests."""
        self._call(self._abort)

    def _abort(self) -> None:
        if self._socket is not None:
            self._socket.transport.abort()

    def _call(self, function: Callable[[], None]) -> None:
        loop = self._loop
        if loop is not None and not loop.is_closed():
            try:
                loop.call_soon_threadsafe(function)
            except RuntimeError:
                log.debug("the connection has ended already")

    def _run(self) -> None:
        try:
            asyncio.run(self._main())
        except Exception as error:
            log.exception("the connection's thread has failed")
            self._told("fatal", WorkerRefused(f"the connection's thread has failed: {error}"))

    async def _main(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._outbox.notify = lambda: self._call(self._filled.set)
        watch = asyncio.create_task(self._watch_lease())
        try:
            await self._keep_connected()
        finally:
            watch.cancel()

    async def _keep_connected(self) -> None:
        wait = _BACKOFF[0]
        while not self._stopping.is_set():
            self._number += 1
            try:
                await self._serve()
                return
            except PolosError as refused:
                self._told("fatal", refused)
                return
            except Broken as broken:
                wait = _BACKOFF[0] if broken.welcomed else wait
                log.warning("connection to the server lost, trying again: %s", broken)
            finally:
                self._outbox.open(0)
                self._told("detached", None)
            try:
                pause = wait / 2 + random.random() * wait / 2
                await asyncio.wait_for(self._stopping.wait(), pause)
            except asyncio.TimeoutError:
                wait = min(wait * 2, _BACKOFF[1])

    async def _serve(self) -> None:
        """One connection, from hello to its end. Returns when the worker stops."""
        socket = await self._connect()
        self._socket = socket
        try:
            welcome = await self._welcome(socket)
            tasks = [
                asyncio.create_task(self._read(socket, welcome["lease_ms"])),
                asyncio.create_task(self._write(socket)),
            ]
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                task.cancel()
            ended = await asyncio.gather(*tasks, return_exceptions=True)
            if self._stopping.is_set():
                return
            for why in ended:
                if isinstance(why, Exception):
                    raise why
        finally:
            self._socket = None
            socket.transport.abort()

    async def _connect(self) -> ClientConnection:
        url = self._address.url
        socket_url = "ws" + url.removeprefix("http") + _PATH
        try:
            return await connect(
                socket_url,
                additional_headers={"authorization": f"Bearer {self._address.token}"},
                max_size=limits.MESSAGE_BYTES_MAX,
                compression=None,
                ping_interval=None,
                open_timeout=_WELCOME,
                close_timeout=_FAREWELL,
            )
        except InvalidStatus as refused:
            status, body = refused.response.status_code, bytes(refused.response.body or b"")
            message = f"{status} {_message_of(body)}"
            if status in (400, 401, 403, 404):
                raise WorkerRefused(
                    f"the server refused this worker: {message}",
                    hint="check the token (POLOS_TOKEN) and that both sides are of compatible versions",
                ) from refused
            raise Broken(message) from refused
        except InvalidURI as wrong:
            raise Unreachable(f"`{url}` is not the address of a server") from wrong
        except (
            OSError,
            InvalidHandshake,
            ConnectionClosed,
            TimeoutError,
            asyncio.TimeoutError,
            EOFError,
        ) as cause:
            raise Broken(f"{type(cause).__name__}: {cause}") from cause

    async def _welcome(self, socket: ClientConnection) -> dict[str, Any]:
        try:
            await socket.send(dumps({"type": "hello", "body": self._hello(self._number)}))
            text = await asyncio.wait_for(socket.recv(), _WELCOME)
        except (ConnectionClosed, OSError, asyncio.TimeoutError) as cause:
            raise Broken(f"no welcome came ({type(cause).__name__}: {cause})") from cause
        frame = json.loads(text)
        body: dict[str, Any] = frame.get("body") or {}
        if frame["type"] == "error":
            raise WorkerRefused(
                f"the server refused this worker: {body['code']}: {body['message']}",
                hint=body.get("hint", ""),
            )
        if frame["type"] != "welcome":
            raise Broken(f"`{frame['type']}` came instead of a welcome")
        if body["incarnation"] < self._incarnation:
            raise WorkerRefused(
                f"the server's store is incarnation {body['incarnation']}, but this worker has "
                f"worked with incarnation {self._incarnation}",
                hint="a backup was restored; restart the worker to accept it",
            )
        self._incarnation = body["incarnation"]
        self._clock.set(body["now"])
        self._clock.welcomed(body["lease_ms"])
        self._outbox.open(self._number)
        self._told("welcome", (self._number, body))
        return body

    async def _read(self, socket: ClientConnection, lease_ms: int) -> None:
        while True:
            try:
                text = await asyncio.wait_for(socket.recv(), max(self._clock.lease_left, 0.001))
            except asyncio.TimeoutError as silent:
                raise Broken("the server has been silent for its lease", True) from silent
            except (ConnectionClosed, OSError) as cause:
                raise Broken(f"it was closed ({cause})", True) from cause
            if not self._clock.is_leased:
                raise Broken("this process was paused for longer than its lease", True)
            self._clock.heard(lease_ms)
            frame = json.loads(text)
            kind: str = frame["type"]
            if kind == "ping":
                self._outbox.now('{"type":"pong","body":{}}')
            elif kind == "error":
                body = frame["body"]
                raise Broken(f"{body['code']}: {body['message']}", True)
            else:
                self._told("frame", (kind, frame.get("body") or {}))

    async def _write(self, socket: ClientConnection) -> None:
        stopping = asyncio.create_task(self._stopping.wait())
        try:
            while True:
                filled = asyncio.create_task(self._filled.wait())
                await asyncio.wait([filled, stopping], return_when=asyncio.FIRST_COMPLETED)
                filled.cancel()
                self._filled.clear()
                for text in self._outbox.take():
                    await socket.send(text)
                if stopping.done():
                    await asyncio.wait_for(socket.close(), _FAREWELL)
                    return
        except (ConnectionClosed, OSError, asyncio.TimeoutError) as cause:
            if self._stopping.is_set():
                return
            raise Broken(f"it was closed ({cause})", True) from cause
        finally:
            stopping.cancel()

    async def _watch_lease(self) -> None:
        """Says once when the lease ends unheard."""
        said = True
        while True:
            if self._clock.is_leased:
                said = False
                await asyncio.sleep(max(self._clock.lease_left, 0.001))
            else:
                if not said:
                    said = True
                    log.warning("the server was not heard for the lease: steps are stopped")
                    self._told("lease_lost", None)
                await asyncio.sleep(0.05)


def _message_of(body: bytes) -> str:
    try:
        error = json.loads(body)["error"]
        return f"{error['code']}: {error['message']}"
    except (ValueError, KeyError, TypeError):
        return body[:300].decode("utf-8", "replace")
