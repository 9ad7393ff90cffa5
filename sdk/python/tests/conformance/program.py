"""Interprets the programs of tests/conformance with the public interface of this SDK."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from polos import (
    Cancelled,
    Done,
    NoRetry,
    NotDone,
    PolosError,
    Retry,
    RetryAfter,
    StepError,
    TerminalError,
    Unknown,
    Worker,
    WorkflowContext,
    current_step,
    step,
)

Program = list[dict[str, Any]]
RETRY = {"attempts": 5, "initial_ms": 10, "factor": 1, "jitter": 0}
ALONE = ("step", "sleep", "event", "signal", "publish", "ask", "call", "join")
"""Statements that are a branch by themselves, with no code around them."""


@dataclass
class World:
    """What lies outside of the worker: the effects log, and the faults that have been done."""

    directory: Path
    faults: list[dict[str, Any]]
    prefix: str
    """Stands before the names of workflows: one server serves all scenarios."""
    worker: Worker | None = None

    def effects(self, key: str | None = None) -> list[dict[str, Any]]:
        """The lines of the effects log."""
        try:
            lines = (self.directory / "effects").read_text().split("\n")[:-1]
        except FileNotFoundError:
            return []
        found = [json.loads(line) for line in lines]
        return [line for line in found if key is None or line["key"] == key]

    def note(self, name: str, line: str) -> None:
        """Appends a line in one write."""
        file = os.open(self.directory / name, os.O_APPEND | os.O_CREAT | os.O_WRONLY)
        try:
            os.write(file, line.encode() + b"\n")
        finally:
            os.close(file)

    def reached(self, key: str, point: str) -> int | None:
        """The code is at a point: does what is to go wrong here. Gives the fault that somebody else
        must do, to be waited for."""
        mine = [
            (index, fault)
            for index, fault in enumerate(self.faults)
            if fault["at"]["step"] == key and fault["at"]["point"] == point
        ]
        if not mine:
            return None
        self.note("points", f"{point} {key}")
        count = (self.directory / "points").read_text().splitlines().count(f"{point} {key}")
        for index, fault in mine:
            if fault["at"].get("nth", 1) != count or (self.directory / f"done-{index}").exists():
                continue
            (self.directory / f"done-{index}").touch()
            if fault["do"] == "kill_worker":
                os.kill(os.getpid(), signal.SIGKILL)
            elif fault["do"] == "drop_connection":
                assert self.worker is not None
                self.worker.drop_connection()
            elif fault["do"] in ("kill_server", "deploy"):
                (self.directory / f"ask-{index}").touch()
                return index
            else:
                raise ValueError(f"unknown fault `{fault['do']}`")
        return None

    def is_done(self, fault: int) -> bool:
        """True once the harness has done the fault."""
        return (self.directory / f"ok-{fault}").exists()


class Return(Exception):
    """Ends a program with a value."""

    def __init__(self, value: Any) -> None:
        self.value = value


@dataclass
class Machine:
    """One run of a program."""

    ctx: WorkflowContext
    world: World
    input: Any
    vars: dict[str, Any] = field(default_factory=dict[str, Any])

    async def run(self, program: Program) -> Any:
        """Runs a program to its end."""
        try:
            await self.block(program)
        except Return as end:
            return end.value
        return None

    async def block(self, program: Program) -> None:
        for statement in program:
            await self.statement(statement)

    def value(self, form: Any) -> Any:
        """The value of a form."""
        if (items := list_of(form)) is not None:
            return [self.value(one) for one in items]
        if (fields := fields_of(form)) is None:
            return form
        if "$var" in fields:
            found = self.vars[fields["$var"]]
            for part in fields.get("path", []):
                found = found[part]
            return found
        if "$input" in fields:
            return self.input
        if "$repeat" in fields:
            text, times = fields["$repeat"]
            return text * times
        if "$range" in fields:
            return list(range(fields["$range"]))
        return {name: self.value(one) for name, one in fields.items()}

    async def statement(self, statement: dict[str, Any]) -> None:
        do = statement["do"]
        if do in ALONE:
            awaitable, read = self.alone(statement)
            value = read(await awaitable)
            self.handed(awaitable)
            if "as" in statement:
                self.vars[statement["as"]] = value
            return
        method = getattr(self, f"do_{do}", None)
        if method is None:
            raise PolosError(f"unknown statement `{do}`")
        value = await method(statement)
        if "as" in statement:
            self.vars[statement["as"]] = value

    def handed(self, awaitable: Any) -> None:
        """The code has been handed an outcome. What is to be done here by somebody else is waited for
        in the body itself, which awaits nothing but the run."""
        fault = self.world.reached(getattr(awaitable, "key", None) or "", "recorded")
        while fault is not None and not self.world.is_done(fault):
            time.sleep(0.02)

    def alone(self, s: dict[str, Any]) -> tuple[Awaitable[Any], Callable[[Any], Any]]:
        """What `ctx` gives for a statement, and how its value is read."""
        do = s["do"]
        timeout = {"timeout": s["timeout_ms"] / 1000} if "timeout_ms" in s else {}
        name = {"name": s["name"]} if "name" in s else {}
        if do == "step":
            return self.ctx.step(s["name"], self.effect(s), *self.value(s.get("args", []))), same
        if do == "sleep":
            return self.ctx.sleep(s["ms"] / 1000, **name), same
        if do == "event":
            return self.ctx.wait_for_event(s["topic"], **timeout, **name), payload
        if do == "signal":
            return self.ctx.wait_for_signal(s["topic"], **timeout, **name), payload
        if do == "publish":
            return self.ctx.publish(s["topic"], self.value(s.get("payload")), **name), same
        if do == "call":
            return self.ctx.call(
                *self.child(s), name=s.get("name", s["workflow"]), was=s.get("was")
            ), same
        if do == "join":
            return self.vars[s["handle"]], same
        return self.asking(s, timeout)

    def asking(
        self, s: dict[str, Any], timeout: dict[str, Any]
    ) -> tuple[Awaitable[Any], Callable[[Any], Any]]:
        def read(answer: Any) -> Any:
            fields = {
                "approved": answer.approved,
                "feedback": answer.feedback,
                "value": answer.value,
            }
            return {name: value for name, value in fields.items() if value is not None}

        return self.ctx.ask(s.get("title", "?"), name=s["name"], **timeout), read

    def child(self, s: dict[str, Any]) -> tuple[str, Any]:
        return self.world.prefix + s["workflow"], self.value(s.get("input"))

    def effect(self, s: dict[str, Any]) -> Any:
        """The function of a step, with its options."""
        gives = self.value(s.get("gives"))
        retry = {**RETRY, **s.get("retry", {})}
        options: dict[str, Any] = {
            "effect": s.get("effect", "repeatable"),
            "was": s.get("was"),
            "retry": Retry(
                attempts=retry["attempts"],
                initial=retry["initial_ms"] / 1000,
                factor=retry["factor"],
                jitter=retry["jitter"],
                max=retry.get("max_ms", 30_000) / 1000,
                not_on=retry.get("not_on", ()),
            ),
        }
        if "timeout_ms" in s:
            options["timeout"] = s["timeout_ms"] / 1000
        if "verify" in s:
            options["verify"] = self.verification(s["verify"], gives)

        async def act(*args: Any) -> Any:
            return await self.act(s, gives)

        return step(**options)(act)

    def verification(self, how: str, gives: Any) -> Any:
        async def verify(*args: Any) -> Any:
            if how == "raise":
                raise RuntimeError("verify fails")
            if how == "unknown":
                return Unknown()
            key = current_step().idempotency_key
            done = any(line["idempotency_key"] == key for line in self.world.effects())
            return Done(gives) if done else NotDone()

        return verify

    async def act(self, s: dict[str, Any], gives: Any) -> Any:
        """The effect of a step."""
        here = current_step()
        await self.pause_at(here.key, "before_effect")
        for kind, data in s.get("streams", []):
            here.stream(kind, data)
        failure = of_attempt(s.get("fails"), here.attempt)
        if failure is not None and failure.get("before"):
            raise error_of(failure)
        line = {
            "key": here.key,
            "attempt": here.attempt,
            "idempotency_key": here.idempotency_key,
        }
        self.world.note("effects", json.dumps(line))
        takes = s.get("takes_ms", 0)
        takes = of_attempt(takes, here.attempt) if isinstance(takes, list) else takes
        if takes:
            await asyncio.sleep(takes / 1000)
        await self.pause_at(here.key, "after_effect")
        if failure is not None:
            raise error_of(failure)
        return gives

    async def pause_at(self, key: str, point: str) -> None:
        fault = self.world.reached(key, point)
        while fault is not None and not self.world.is_done(fault):
            await asyncio.sleep(0.02)

    async def do_spawn(self, s: dict[str, Any]) -> Any:
        name = s.get("name", s["workflow"])
        return await self.ctx.spawn(*self.child(s), name=name, was=s.get("was"))

    async def do_detach(self, s: dict[str, Any]) -> Any:
        return await self.ctx.detach(*self.child(s), name=s.get("name", s["workflow"]))

    def branches(self, s: dict[str, Any]) -> tuple[list[Any], list[Callable[[Any], Any]]]:
        made = [self.one_branch(program) for program in s["branches"]]
        return [branch for branch, _ in made], [read for _, read in made]

    def one_branch(self, program: Program) -> tuple[Awaitable[Any], Callable[[Any], Any]]:
        if len(program) == 1 and program[0]["do"] in ALONE and "as" not in program[0]:
            return self.alone(program[0])
        return self.run(program), same

    async def do_all(self, s: dict[str, Any]) -> Any:
        branches, reads = self.branches(s)
        values = await self.ctx.gather(*branches)
        for branch in branches:
            self.handed(branch)
        return [read(value) for read, value in zip(reads, values, strict=True)]

    async def do_race(self, s: dict[str, Any]) -> Any:
        branches, reads = self.branches(s)
        index, value = await self.ctx.race(*branches)
        self.handed(branches[index])
        return [index, reads[index](value)]

    async def do_map(self, s: dict[str, Any]) -> Any:
        def each(item: Any) -> Awaitable[Any]:
            inner = Machine(self.ctx, self.world, self.input, {**self.vars, s["item"]: item})
            return inner.run(s["body"])

        more: dict[str, Any] = {"key": str} if s.get("key") else {}
        if "concurrency" in s:
            more["concurrency"] = s["concurrency"]
        return await self.ctx.map(s["name"], each, self.value(s["items"]), **more)

    async def do_branch(self, s: dict[str, Any]) -> Any:
        return await self.ctx.branch(s["name"], self.run(s["body"]))

    async def do_cleanup(self, s: dict[str, Any]) -> Any:
        return await self.ctx.cleanup(self.run(s["body"]))

    async def do_try(self, s: dict[str, Any]) -> Any:
        try:
            await self.block(s["body"])
        except StepError as error:
            await self.caught(s, error.code, error.message)
        except Cancelled as cancelled:
            if not s.get("cancelled"):
                raise
            await self.caught(s, cancelled.failure.code, cancelled.failure.message)
            raise
        except PolosError as error:
            await self.caught(s, error.code, error.message)
        return self.vars.get(s.get("as", ""))

    async def caught(self, s: dict[str, Any], code: str, message: str) -> None:
        if "as" in s:
            self.vars[s["as"]] = {"code": code, "message": message}
        await self.block(s.get("catch", []))

    async def do_raise(self, s: dict[str, Any]) -> Any:
        raise error_of(s)

    async def do_if(self, s: dict[str, Any]) -> Any:
        equal = self.value(s["value"]) == self.value(s["equals"])
        await self.block(s.get("then", []) if equal else s.get("else", []))

    async def do_repeat(self, s: dict[str, Any]) -> Any:
        for _ in range(s["times"]):
            await self.block(s["body"])

    async def do_patched(self, s: dict[str, Any]) -> Any:
        await self.block(s.get("then", []) if self.ctx.patched(s["id"]) else s.get("else", []))

    async def do_removed(self, s: dict[str, Any]) -> Any:
        self.ctx.removed(s["name"])

    async def do_set(self, s: dict[str, Any]) -> Any:
        return self.value(s["value"])

    async def do_now(self, s: dict[str, Any]) -> Any:
        return round(self.ctx.now().timestamp() * 1000)

    async def do_uuid(self, s: dict[str, Any]) -> Any:
        return str(self.ctx.uuid())

    async def do_random(self, s: dict[str, Any]) -> Any:
        return self.ctx.random()

    async def do_stream(self, s: dict[str, Any]) -> Any:
        self.ctx.stream(s["kind"], self.value(s["data"]))

    async def do_return(self, s: dict[str, Any]) -> Any:
        raise Return(self.value(s.get("value")))


def list_of(form: Any) -> list[Any] | None:
    """The form, if it is a list."""
    return cast("list[Any]", form) if isinstance(form, list) else None


def fields_of(form: Any) -> dict[str, Any] | None:
    """The form, if it is an object."""
    return cast("dict[str, Any]", form) if isinstance(form, dict) else None


def same(value: Any) -> Any:
    return value


def payload(event: Any) -> Any:
    return event.payload


def of_attempt(entries: Any, attempt: int) -> Any:
    """The entry of an attempt, if the list has one."""
    return entries[attempt - 1] if entries and attempt <= len(entries) else None


def error_of(spec: dict[str, Any]) -> BaseException:
    """The error that a program describes."""
    message, code = spec.get("message", "it failed"), spec.get("code")
    if spec.get("not_done"):
        error: PolosError = NotDone(message, code=code)
    elif spec.get("terminal"):
        error = TerminalError(message, code=code)
    elif spec.get("no_retry"):
        error = NoRetry(message, code=code)
    elif "retry_after_ms" in spec:
        error = RetryAfter(message, spec["retry_after_ms"] / 1000, code=code)
    else:
        error = PolosError(message, code=code)
    if "cause" in spec:
        error.__cause__ = error_of(spec["cause"])
    return error
