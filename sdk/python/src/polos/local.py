"""Running without a server to learn: `run()` finds one or starts one, and serves this process's own
definitions beside it."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import time
from collections.abc import Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from polos.address import Address, NoServer, data_directory
from polos.client import Client
from polos.errors import PolosError, Unreachable
from polos.server import NativeWorker, Server
from polos.workflow import registered

if TYPE_CHECKING:
    from polos.worker import Worker
    from polos.workflow import Workflow

T = TypeVar("T")

_server: Server | None = None
_native: NativeWorker | None = None
_NATIVE_S = 20.0
"""How long the native worker may take to connect."""


@dataclass(slots=True)
class _Local:
    """What serves this process's runs on one event loop."""

    client: Client
    worker: Worker | None = None
    serving: asyncio.Task[None] | None = None


_locals: dict[asyncio.AbstractEventLoop, _Local] = {}
_locks: dict[asyncio.AbstractEventLoop, asyncio.Lock] = {}


async def client_for(workflow: Workflow[Any, Any]) -> Client:
    """A client of a server at which somebody runs the workflow: another worker, or one in this very
    process."""
    loop = asyncio.get_running_loop()
    for old in [known for known in _locals if known.is_closed()]:
        del _locals[old]
        _locks.pop(old, None)
    async with _locks.setdefault(loop, asyncio.Lock()):
        here = _locals.get(loop)
        if here is None:
            here = _locals[loop] = _Local(await _client())
        if here.worker is None or here.serving is None or here.serving.done():
            await _serve(here, workflow)
        elif not here.worker.offers(workflow):
            here.worker.drain()
            await _serve(here, workflow)
        if any(one.kind == "agent" for one in registered()):
            await _run_agents(here.client)
        return here.client


async def _client() -> Client:
    try:
        address = Address.find()
        client = Client(address.url, address.token)
        await client.health()
        return client
    except NoServer:
        pass
    except Unreachable:
        # A data directory may name a server that has died; an address that was said outright not.
        directory = data_directory()
        if directory is None or Address.find() != Address.of_directory(directory):
            raise
    server = await _embedded()
    return Client(server.address.url, server.address.token)


async def _embedded() -> Server:
    global _server
    if _server is None:
        server = Server(data_directory() or Path.cwd() / ".polos")
        await server.start_async()
        atexit.register(server.stop)
        _server = server
    return _server


async def _run_agents(client: Client) -> None:
    """Starts a native worker, if none is there to run agents."""
    global _native
    deadline = time.monotonic() + _NATIVE_S
    while not await _is_offered(client, "polos.agent"):
        if _native is None or not _native.is_running:
            directory = data_directory() or Path.cwd() / ".polos"
            directory.mkdir(mode=0o700, exist_ok=True)
            if _native is None:
                _native = NativeWorker(directory, client.address)
                atexit.register(_native.stop)
            _native.begin()
        if time.monotonic() > deadline:
            raise Unreachable(
                "no native worker has come to run agents",
                hint="start one with `polos worker` or `polos dev`, and see `worker.log` in the "
                "data directory",
            )
        await asyncio.sleep(0.1)


async def _is_offered(client: Client, name: str) -> bool:
    definitions: list[Any] = list(await client.list_definitions())
    return any(one["name"] == name and one.get("workers") for one in definitions)


async def _serve(here: _Local, workflow: Workflow[Any, Any]) -> None:
    """Serves this process's definitions, unless a worker elsewhere offers the workflow."""
    from polos.worker import Worker

    if await _is_offered(here.client, workflow.id):
        return
    address = here.client.address
    here.worker = Worker(registered(), url=address.url, token=address.token)
    here.serving = asyncio.create_task(here.worker.run())
    here.serving.add_done_callback(_ended)
    await here.worker.connected()


def _ended(serving: asyncio.Task[None]) -> None:
    if not serving.cancelled():
        serving.exception()


async def close() -> None:
    """Stops what `run()` has started on this event loop: its worker and its client."""
    here = _locals.pop(asyncio.get_running_loop(), None)
    if here is None:
        return
    if here.serving is not None:
        here.serving.cancel()
        with contextlib.suppress(asyncio.CancelledError, PolosError):
            await here.serving
    await here.client.close()


def run_sync(coroutine: Coroutine[Any, Any, T]) -> T:
    """Runs a coroutine to its end and stops what it has started."""

    async def main() -> T:
        try:
            return await coroutine
        finally:
            await close()

    return asyncio.run(main())
