"""Running without a server to learn: `run()` finds one or starts one, and serves this process's own
definitions beside it."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
from collections.abc import Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from polos.address import Address, NoServer, data_directory
from polos.client import Client
from polos.errors import PolosError, Unreachable
from polos.server import Server

if TYPE_CHECKING:
    from polos.worker import Worker
    from polos.workflow import Workflow

T = TypeVar("T")

_server: Server | None = None


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


async def _serve(here: _Local, workflow: Workflow[Any, Any]) -> None:
    """Serves this process's definitions, unless a worker elsewhere offers the workflow."""
    from polos.worker import Worker
    from polos.workflow import registered

    definitions: list[Any] = list(await here.client.list_definitions())
    if any(one["name"] == workflow.id and one.get("workers") for one in definitions):
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
