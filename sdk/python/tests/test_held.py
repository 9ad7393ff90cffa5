"""What `hello` says of the runs in memory, and what a server that has just started makes of it."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

from polos import Client, Queue, Server, Worker, WorkflowContext, workflow
from polos.worker.held import Held

LONG_MS = 600_000
RUN = {"run": "run_1", "assignment": 3}


def test_a_run_that_may_have_been_woken_does_not_count_as_waiting() -> None:
    held = Held()
    held.read("start", RUN)
    assert held.list() == [], "its task has not begun"
    standing = held.hold("run_1", 3)
    wait = {"key": "sleep"}
    standing.leave(7, 0, wait)
    assert held.list() == [{**RUN, "seq": 7, "wait": wait}]
    held.read("append", {"run": "run_1", "assignment": 2})
    assert held.list() == [{**RUN, "seq": 7, "wait": wait}], "a frame of another assignment"
    held.read("append", RUN)
    assert held.list() == [{**RUN, "seq": 7}], "its code has not had the frame yet"
    standing.leave(8, 1, wait)
    assert held.list() == [{**RUN, "seq": 8, "wait": wait}]
    standing.leave(8, 1, None)
    assert held.list() == [{**RUN, "seq": 8}]


def test_a_frame_that_is_read_before_the_task_begins_counts() -> None:
    held = Held()
    held.read("start", RUN)
    held.read("append", RUN)
    held.hold("run_1", 3).leave(2, 1, {"key": "sleep"})
    assert held.list() == [{**RUN, "seq": 2, "wait": {"key": "sleep"}}]


def test_what_was_read_of_a_lost_run_is_known_before_its_task_hears_it() -> None:
    held = Held()
    first, second = held.hold("run_1", 3), held.hold("run_2", 3)
    held.kept({"kept": [RUN]})
    assert (first.is_gone, second.is_gone) == (False, True)
    held.read("done", {"run": "run_1", "assignment": 2})
    assert not first.is_gone, "that was another assignment"
    held.read("revoked", RUN)
    assert first.is_gone


def test_a_run_that_left_does_not_take_its_successor_along() -> None:
    held = Held()
    held.hold("run_1", 3)
    held.read("start", {"run": "run_1", "assignment": 4})
    held.drop("run_1", 3)
    held.hold("run_1", 4).leave(1, 0, None)
    assert held.list() == [{"run": "run_1", "assignment": 4, "seq": 1}]


async def test_a_run_that_waited_over_a_restart_goes_on_only_when_its_queue_has_a_slot(
    tmp_path: Path,
) -> None:
    said: list[str] = []
    free = asyncio.Event()

    async def works() -> None:
        said.append("works")
        await free.wait()
        said.append("worked")

    @workflow(id="held.waits", queue=Queue("held", concurrency=1))
    async def waits(ctx: WorkflowContext) -> None:
        await ctx.wait_for_event("held.go")
        said.append("goes on")

    @workflow(id="held.works", queue=Queue("held", concurrency=1))
    async def working(ctx: WorkflowContext) -> None:
        await ctx.step("works", works)

    @workflow(id="held.free")
    async def unqueued(ctx: WorkflowContext) -> None:
        await ctx.step("nothing", lambda: None)

    def says_hello_late(worker: Worker) -> threading.Event:
        hello = worker._hello  # pyright: ignore[reportPrivateUsage]
        may = threading.Event()

        def late(connection: int) -> dict[str, Any]:
            may.wait(30)
            return hello(connection)

        worker._hello = late  # pyright: ignore[reportPrivateUsage]
        return may

    async def until(is_so: Any) -> None:
        while not is_so():
            await asyncio.sleep(0.02)

    with Server(tmp_path / "data") as server:
        address = server.address
        worker = Worker([waits, working, unqueued], url=address.url, token=address.token)
        may_say_hello = says_hello_late(worker)
        may_say_hello.set()
        serving = asyncio.create_task(worker.run())
        await worker.connected()
        # It is to stay in memory until the server is back.
        worker._runs._hot_ms = LONG_MS  # pyright: ignore[reportPrivateUsage]
        async with Client(address.url, address.token) as client:
            waiting = await client.start(waits)
            busy = await client.start(working)
            await until(lambda: "works" in said)
            may_say_hello.clear()
            server.kill()
            server.listen = address.url.removeprefix("http://")
            await server.start_async()
            await client.publish("held.go")
            may_say_hello.set()
            # By the time that a later run has ended, the event would have woken the waiting one.
            await (await client.start(unqueued)).result()
            assert said == ["works"]
            free.set()
            await busy.result()
            await waiting.result()
            assert said == ["works", "worked", "goes on"]
            assert (await waiting.detail())["assignment"] == 1, "it was not in memory any more"
        worker.drain()
        await serving
