"""Plays a scenario of tests/conformance against a real server and a real worker process."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from polos import ApiError, Client, RunEvent, RunHandle, RunOptions, Server, ids

from .program import fields_of, list_of

PYTHON = Path(__file__).resolve().parents[2]
LIMIT_S = 60
"""How long anything in a scenario may take."""
LEFT_OUT = {"hello", "pong", "stream", "more", "fetch", "store", "busy", "drain"}


class Play:
    """One scenario while it is played."""

    def __init__(self, file: Path, directory: Path, server: Server) -> None:
        directory.mkdir(exist_ok=True)
        self.file = file
        self.scenario: dict[str, Any] = json.loads(file.read_text())
        self.directory = directory
        self.server = server
        self.prefix = f"{file.parent.name}-{file.stem}-{os.urandom(3).hex()}-"
        self.build: str = next(iter(self.scenario["programs"]))
        self.worker: subprocess.Popen[bytes] | None = None
        self.wants_worker = True
        self.events: list[RunEvent] = []
        self.changed = asyncio.Event()
        self.session: str | None = None

    async def play(self) -> Result:
        """From the start to the end, and what is expected of it."""
        async with Client(self.server.address.url, self.server.address.token) as self.client:
            self.start_worker()
            keeping = asyncio.create_task(self.keep_going())
            watching: asyncio.Task[None] | None = None
            try:
                self.run = await self.start()
                watching = asyncio.create_task(self.watch())
                for action in self.scenario.get("script", []):
                    await asyncio.wait_for(self.act(action), LIMIT_S)
                await asyncio.wait_for(self.ended(), LIMIT_S)
                result = await self.result()
                await result.check()
                return result
            finally:
                tasks = [task for task in (keeping, watching) if task is not None]
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
                self.kill_worker()

    def start_worker(self) -> None:
        address = self.server.address
        environment = {**os.environ, "POLOS_URL": address.url, "POLOS_TOKEN": address.token}
        command = [sys.executable, "-m", "tests.conformance.worker", str(self.directory)]
        command += [str(self.file), self.build, self.prefix]
        with (self.directory / "log").open("ab") as log:
            self.worker = subprocess.Popen(
                command, env=environment, cwd=PYTHON, stdout=log, stderr=log
            )

    def kill_worker(self) -> None:
        worker, self.worker = self.worker, None
        if worker is not None:
            worker.kill()
            worker.wait()

    async def keep_going(self) -> None:
        """Starts a worker that died again, and does the faults that it asks for."""
        deaths = 0
        while True:
            await asyncio.sleep(0.02)
            if self.worker is not None and self.worker.poll() is not None:
                deaths += 1
                assert deaths < 10, "the worker dies again and again"
                self.start_worker()
            for index, fault in enumerate(self.scenario.get("faults", [])):
                done = self.directory / f"ok-{index}"
                if (self.directory / f"ask-{index}").exists() and not done.exists():
                    await self.fault(fault)
                    done.touch()

    async def fault(self, fault: dict[str, Any]) -> None:
        if fault["do"] == "deploy":
            self.deploy(fault["build"])
        else:
            await self.kill_server()

    def deploy(self, build: str) -> None:
        self.kill_worker()
        self.build = build
        self.start_worker()

    async def kill_server(self) -> None:
        listen = self.server.address.url.removeprefix("http://")
        self.server.kill()
        self.server.listen = listen
        await self.server.start_async()

    async def start(self) -> RunHandle[Any]:
        given: dict[str, Any] = dict(self.scenario.get("options", {}))
        if given.pop("session", False):
            self.session = (await self.client.create_session("scenario"))["id"]
        options = RunOptions(session=self.session, **given)
        return await self.client.start(
            self.prefix + "main",
            self.scenario.get("input"),
            key=self.scenario.get("key"),
            options=options,
        )

    async def watch(self) -> None:
        async for event in self.client.events(self.run.run_id):
            self.events.append(event)
            self.changed.set()

    async def until(self, is_so: Callable[[], bool]) -> None:
        while not is_so():
            self.changed.clear()
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self.changed.wait(), 0.1)

    @property
    def state(self) -> str:
        states = [event.data["state"] for event in self.events if event.kind == "state"]
        return states[-1] if states else ""

    def has_record(self, kind: str, key: str) -> bool:
        records = [event.data["record"] for event in self.events if event.kind == "record"]
        return any(record["kind"] == kind and record["key"] == key for record in records)

    async def ended(self) -> None:
        await self.until(lambda: self.state in ("completed", "failed", "cancelled", "blocked"))

    async def act(self, action: dict[str, Any]) -> None:
        ((name, given),) = action.items()
        verbs: dict[str, Callable[[], Awaitable[Any]]] = {
            "until": lambda: self.act_until(given),
            "answer": lambda: self.act_answer(given),
            "publish": lambda: self.client.publish(
                given["topic"], given.get("payload"), key=given.get("key")
            ),
            "signal": lambda: self.client.publish(
                given["topic"], given.get("payload"), to=self.run.run_id
            ),
            "cancel": lambda: self.client.cancel(self.run.run_id, **given),
            "kill": lambda: self.client.kill(self.run.run_id, **given),
            "resume": lambda: self.act_verb("resume", given),
            "retry": lambda: self.act_verb("retry", given),
            "settle": lambda: self.act_verb("settle", given),
            "kill_server": self.kill_server,
            "start_again": lambda: self.act_start_again(given),
        }
        if name in ("deploy", "start_worker"):
            self.deploy(given)
        elif name == "stop_worker":
            self.kill_worker()
        else:
            await verbs[name]()

    async def act_verb(self, verb: str, given: dict[str, Any]) -> None:
        method: Any = getattr(self.client, verb)
        seen = len(self.events)
        await method(self.run.run_id, **given)
        # The blocked state lies behind us only when the server has said so.
        await self.until(lambda: any(e.kind == "state" for e in self.events[seen:]))

    async def act_until(self, given: dict[str, Any]) -> None:
        if "state" in given:
            await self.until(lambda: self.state == given["state"])
        elif "record" in given:
            await self.until(lambda: self.has_record(*given["record"]))
        else:
            await self.until(lambda: bool(self.effects(given["effect"])))

    async def act_answer(self, given: dict[str, Any]) -> None:
        await self.until(lambda: self.has_record("open", given["key"]))
        given = dict(given)
        key = given.pop("key")
        while True:
            async for approval in self.client.list_approvals(run=self.run.run_id):
                if approval["key"] == key and approval["state"] == "pending":
                    await self.client.decide(approval["id"], **given)
                    return
            await asyncio.sleep(0.05)

    async def act_start_again(self, given: dict[str, Any]) -> None:
        input = given.get("input", self.scenario.get("input"))
        try:
            again = await self.client.start(
                self.prefix + "main", input, key=self.scenario["key"], options=RunOptions()
            )
        except ApiError as refused:
            assert given.get("conflict"), refused
            assert refused.code == "start_key_conflict", refused
            return
        assert not given.get("conflict"), "the start was not refused"
        assert again.run_id == self.run.run_id and again.existing

    def effects(self, key: str | None = None) -> list[dict[str, Any]]:
        try:
            lines = (self.directory / "effects").read_text().split("\n")[:-1]
        except FileNotFoundError:
            return []
        found = [json.loads(line) for line in lines]
        return [line for line in found if key is None or line["key"] == key]

    def frames(self) -> list[str]:
        """The types of the frames that were sent for this run."""
        types: list[str] = []
        for line in (self.directory / "frames").read_text().split("\n")[:-1]:
            frame = json.loads(line)
            kind, body = frame["type"], frame["body"]
            about = {body.get("run"), *(one["run"] for one in body.get("runs", []))}
            if kind in LEFT_OUT or self.run.run_id not in about:
                continue
            if kind != "record" or types[-1:] != ["record"]:
                types.append(kind)
        return types

    async def result(self) -> Result:
        detail: Any = await self.client.get_run(self.run.run_id)
        journal = await self.client.journal(self.run.run_id)
        return Result(self, detail, journal)


class Result:
    """What came of a scenario."""

    def __init__(self, play: Play, detail: dict[str, Any], journal: list[Any]) -> None:
        self.play = play
        self.detail = detail
        records = [entry["record"] for entry in journal if not entry.get("superseded")]
        self.records: list[dict[str, Any]] = [
            record["record"] for record in records if record["record"]["kind"] != "verb"
        ]

    async def check(self) -> None:
        """Compares it with what is expected."""
        expect: dict[str, Any] = self.play.scenario["expect"]
        checks: dict[str, Callable[[Any], Any]] = {
            "state": lambda state: equal("state", self.detail["state"], state, self.told()),
            "output": lambda output: equal("output", self.detail.get("output"), output),
            "error": lambda error: contains("error", self.detail.get("error") or {}, error),
            "blocked": lambda why: contains("blocked", self.detail.get("blocked") or {}, why),
            "journal": self.check_journal,
            "effects": self.check_effects,
            "effects_max": self.check_effects_max,
            "frames": lambda frames: equal("frames", self.play.frames(), frames),
            "children": self.check_children,
            "stream": self.check_stream,
            "turns": self.check_turns,
        }
        for name, wanted in expect.items():
            checked = checks[name](wanted)
            if checked is not None:
                await checked
        self.check_keys()

    def told(self) -> str:
        return json.dumps(self.detail.get("blocked") or self.detail.get("error") or {})

    def check_keys(self) -> None:
        from polos.replay.derive import idempotency_key

        for line in self.play.effects():
            if self.play.scenario.get("children"):
                continue  # The log of a child's steps names the child's own keys.
            derived = idempotency_key(self.play.run.run_id, line["key"], 0)
            equal(f"idempotency key of {line['key']}", line["idempotency_key"], derived)
        steps = [record["key"] for record in self.records if record["kind"] == "step"]
        assert len(steps) == len(set(steps)), f"a step is recorded twice: {steps}"

    def check_journal(self, wanted: list[Any]) -> None:
        left = list(self.records)
        shown = [[record["kind"], record["key"]] for record in self.records]
        for entry in wanted:
            if (either := fields_of(entry)) is not None:
                group: list[Any] = either["any_order"]
                taken, left = left[: len(group)], left[len(group) :]
                for one in group:
                    match = next((record for record in taken if fits(record, one)), None)
                    assert match is not None, f"no {one} in {taken}; journal: {shown}"
                    taken.remove(match)
            else:
                assert left, f"no {entry}: the journal is {shown}"
                assert fits(left[0], entry), f"{left[0]} is not {entry}; journal: {shown}"
                left = left[1:]
        assert not left, f"more than was expected: {left}; journal: {shown}"

    def check_effects(self, wanted: dict[str, int]) -> None:
        counts: dict[str, int] = {}
        for line in self.play.effects():
            counts[line["key"]] = counts.get(line["key"], 0) + 1
        equal("effects", counts, {key: count for key, count in wanted.items() if count})

    def check_effects_max(self, wanted: dict[str, int]) -> None:
        for key, most in wanted.items():
            assert len(self.play.effects(key)) <= most, f"`{key}` acted more than {most} times"

    async def check_children(self, wanted: dict[str, Any]) -> None:
        for key, child in wanted.items():
            run = ids.child_run(self.play.run.run_id, key)
            await asyncio.wait_for(self.play.client.wait(run), LIMIT_S)
            contains(f"child {key}", await self.play.client.get_run(run), child)

    async def check_stream(self, wanted: list[Any]) -> None:
        client, run = self.play.client, self.play.run.run_id
        whole = [event async for event in client.events(run)]
        items = [event.data["item"] for event in whole if event.kind == "stream"]
        equal("stream", [{**item, "data": item["data"]["v"]} for item in items], wanted)
        for index, event in enumerate(whole):
            if event.kind == "state":
                continue
            rest = [
                later.id async for later in client.events(run, event.id) if later.kind != "state"
            ]
            equal("resumed", rest, [one.id for one in whole[index + 1 :] if one.kind != "state"])

    async def check_turns(self, wanted: list[Any]) -> None:
        assert self.play.session is not None
        turns: list[Any] = list(await self.play.client.turns(self.play.session))
        for turn in turns:
            turn["workflow"] = turn["workflow"].removeprefix(self.play.prefix)
        for turn, one in zip(turns, wanted, strict=True):
            contains("turn", turn, one)


def equal(what: str, found: Any, wanted: Any, more: str = "") -> None:
    assert json_equal(found, wanted), f"{what}: {shorten(found)} is not {shorten(wanted)} {more}"


def json_equal(one: Any, other: Any) -> bool:
    """Equal as JSON: `true` is not `1`."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    left, right = list_of(one), list_of(other)
    if left is not None and right is not None:
        return len(left) == len(right) and all(map(json_equal, left, right))
    mine, theirs = fields_of(one), fields_of(other)
    if mine is not None and theirs is not None:
        return mine.keys() == theirs.keys() and all(
            json_equal(mine[key], theirs[key]) for key in mine
        )
    return one == other


def shorten(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) < 400 else text[:400] + "…"


def contains(what: str, found: Any, wanted: dict[str, Any]) -> None:
    for name, value in wanted.items():
        inner = fields_of(value)
        if inner is not None and fields_of(found.get(name)) is not None:
            contains(f"{what}.{name}", found[name], inner)
        else:
            equal(f"{what}.{name}", found.get(name), value)


def fits(record: dict[str, Any], entry: list[Any]) -> bool:
    """True if a record is what an entry says."""
    kind, key, *more = entry
    if record["kind"] != kind or record["key"] != key:
        return False
    detail: Any = record.get("detail") or {}
    wanted_fields: dict[str, Any] = more[0] if more else {}
    for name, wanted in wanted_fields.items():
        if name == "value":
            found = of(record, "value").get("v")
        elif name == "error":
            found = of(record, "error").get("code")
        elif name == "attempt":
            found = record.get("attempt", 1)
        else:
            fields = fields_of(detail)
            found = fields.get(name) if fields is not None else detail
        if not json_equal(found, wanted):
            return False
    return True


def of(record: dict[str, Any], name: str) -> dict[str, Any]:
    """An object inside a record; an empty one if it is not there."""
    return record.get(name) or {}
