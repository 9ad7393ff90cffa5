"""Journals that come in pages."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

from polos import Client, Server, Worker, WorkflowContext, workflow
from polos.replay import send
from polos.replay.machine import Machine, Settings
from polos.replay.wire import Frame

STEPS = 60
TEXT = 30_000
"""Below what a page keeps apart: nine fill a page of 256 KiB."""
ran: list[int] = []


def page(*seqs: int, upto: int, more: bool = True) -> dict[str, Any]:
    def record(seq: int) -> dict[str, Any]:
        return {
            "seq": seq,
            "at": seq,
            "record": {"kind": "step", "key": f"s{seq}", "value": {"v": seq}},
        }

    records = [record(seq) for seq in seqs]
    return {"run": "run_1", "assignment": 1, "records": records, "seq": upto, "more": more}


def told(machine: Machine) -> list[tuple[str, int | None]]:
    frames: list[tuple[str, int | None]] = []
    while (output := machine.next_output()) is not None:
        assert isinstance(output, Frame)
        frames.append((output.kind, json.loads(output.body).get("seq")))
    return frames


def loading() -> Machine:
    start: dict[str, Any] = {
        "run": "run_1",
        "assignment": 1,
        "seq": 6,
        "created_ms": 0,
        "input": {"v": None},
        "seed": "seed",
        "journal": [],
    }
    machine = Machine(start, Settings("build"))
    send.begin(machine)
    return machine


def test_each_page_is_answered_and_the_code_begins_after_the_last() -> None:
    machine = loading()
    assert told(machine) == [("accept", None)], "the first page comes by itself"
    # Two come at once: both are answered, each is credit for another.
    send.appended(machine, page(1, 2, upto=2), 0)
    send.appended(machine, page(3, upto=4), 0)
    assert told(machine) == [("more", 2), ("more", 4)]
    assert not machine.is_loaded
    send.appended(machine, page(5, 6, upto=6, more=False), 0)
    assert told(machine) == []
    assert machine.is_loaded
    assert [item.seq for item in machine.journal.queue] == [1, 2, 3, 5, 6]


def test_a_page_that_comes_again_after_a_reconnection_changes_nothing() -> None:
    machine = loading()
    send.appended(machine, page(1, 2, upto=2), 0)
    told(machine)
    send.detached(machine)
    send.attached(machine, {"run": "run_1", "assignment": 1, "seq": 6, "n": 0}, 0)
    assert told(machine) == [], "the server sends the rest by itself"
    send.appended(machine, page(1, 2, 3, upto=4), 0)
    send.appended(machine, page(5, 6, upto=6, more=False), 0)
    assert told(machine) == [("more", 4)]
    assert [item.seq for item in machine.journal.queue] == [1, 2, 3, 5, 6]
    assert machine.is_loaded
    assert machine.wire.can_send


def text_of(number: int) -> str:
    ran.append(number)
    return f"{number:06}" * (TEXT // 6)


@workflow(id="pages.long")
async def long(ctx: WorkflowContext) -> int:
    texts = [await ctx.step("text", text_of, number) for number in range(STEPS)]
    await ctx.wait_for_event("pages.go")
    assert texts == [f"{number:06}" * (TEXT // 6) for number in range(STEPS)]
    return sum(len(text) for text in texts)


def serve(server: Server, frames: list[dict[str, Any]]) -> tuple[Worker, asyncio.Task[None]]:
    worker = Worker([long], url=server.address.url, token=server.address.token)
    outbox = worker._shared.outbox  # pyright: ignore[reportPrivateUsage]
    take = outbox.take

    def noted() -> list[str]:
        texts = take()
        frames.extend(json.loads(text) for text in texts)
        return texts

    outbox.take = noted
    return worker, asyncio.create_task(worker.run())


def answers_late(worker: Worker, run: str) -> list[int]:
    """Has the worker's loop answer nothing until four pages of the run are there, or none comes."""
    told, held = worker._told, worker._shared.held  # pyright: ignore[reportPrivateUsage]
    under_way: list[int] = []

    def late(what: str, said: Any) -> None:
        if what == "frame" and said[0] == "start" and said[1]["run"] == run:
            standing = held.hold(run, said[1]["assignment"])
            deadline = time.monotonic() + 5
            while standing.read < 4 and time.monotonic() < deadline:
                time.sleep(0.01)
            under_way.append(standing.read)
        told(what, said)

    worker._told = late  # pyright: ignore[reportPrivateUsage]
    return under_way


async def test_a_run_goes_on_from_a_journal_of_many_pages(server: Server) -> None:
    async with Client(server.address.url, server.address.token) as client:
        worker, serving = serve(server, [])
        run = await client.start(long)
        while (await run.detail())["state"] != "waiting":
            await asyncio.sleep(0.1)
        worker.drain()
        await serving
        frames: list[dict[str, Any]] = []
        worker, serving = serve(server, frames)
        under_way = answers_late(worker, run.run_id)
        await client.publish("pages.go")
        assert await run.result() == STEPS * TEXT
        assert sorted(ran) == list(range(STEPS)), "no step ran again"
        answered = [frame["body"]["seq"] for frame in frames if frame["type"] == "more"]
        assert answered == sorted(answered)
        assert len(answered) > 4, "the journal came in many pages"
        assert under_way == [4]
        worker.drain()
        await serving
