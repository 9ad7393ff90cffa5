"""Random programs of steps, killed at random, give the same journal as the undisturbed run.

Compared are kinds, keys, inputs, results and, within each branch, the order of records and of first
effects; not frames, attempts or times. One seed reproduces a program and its deaths."""

from __future__ import annotations

import asyncio
import json
import os
import random
from pathlib import Path
from typing import Any

import pytest

from polos import Server

from .harness import Play, Result, of
from .program import Program

SEEDS = range(int(os.environ.get("POLOS_PROPERTY_SEEDS", "6")))
FAULTS_MAX = 4


class Maker:
    """Makes programs."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.vars: list[str] = []

    def program(self, depth: int = 0) -> Program:
        count = self.chance.randint(2, 5 - depth)
        return [self.statement(depth) for _ in range(count)]

    def value(self) -> Any:
        if self.vars and self.chance.random() < 0.4:
            return {"$var": self.chance.choice(self.vars)}
        return self.chance.choice([0, 1, "", "x", None, [1, {"a": None}], {"é": 1.5}, False])

    def statement(self, depth: int) -> dict[str, Any]:
        makers = [self.step, self.step, self.step, self.once, self.sleep, self.publish]
        makers += [self.call, self.failing]
        if depth < 2:
            makers += [self.all, self.race, self.map, self.branch]
        return self.chance.choice(makers)(depth)

    def named(self, made: dict[str, Any], depth: int) -> dict[str, Any]:
        """Only what stands in the body itself sets variables: branches have no order among them."""
        if depth == 0:
            name = f"v{len(self.vars)}"
            self.vars.append(name)
            made["as"] = name
        return made

    def step(self, depth: int) -> dict[str, Any]:
        made = {"do": "step", "name": self.chance.choice("abc"), "gives": self.value()}
        if self.chance.random() < 0.3:
            made["fails"] = [{"code": "again"}] * self.chance.randint(1, 2)
        return self.named(made, depth)

    def once(self, depth: int) -> dict[str, Any]:
        made = {"do": "step", "name": "pay", "effect": "once", "verify": "log"}
        return self.named({**made, "args": [self.value()], "gives": self.value()}, depth)

    def failing(self, depth: int) -> dict[str, Any]:
        bad = {"do": "step", "name": "bad", "fails": [{"code": "no", "no_retry": True}]}
        return {"do": "try", "body": [bad], "catch": [self.step(1)]}

    def sleep(self, depth: int) -> dict[str, Any]:
        return {"do": "sleep", "ms": self.chance.choice([1, 30, 200])}

    def publish(self, depth: int) -> dict[str, Any]:
        return {"do": "publish", "topic": "property", "payload": self.value()}

    def call(self, depth: int) -> dict[str, Any]:
        call = {"do": "call", "workflow": "echo", "name": "echo", "input": self.value()}
        return self.named(call, depth)

    def all(self, depth: int) -> dict[str, Any]:
        branches = [self.program(depth + 1) for _ in range(self.chance.randint(2, 3))]
        return self.named({"do": "all", "branches": branches}, depth)

    def race(self, depth: int) -> dict[str, Any]:
        slow = [{"do": "sleep", "ms": 600_000}]
        return self.named({"do": "race", "branches": [slow, [self.step(1)]]}, depth)

    def map(self, depth: int) -> dict[str, Any]:
        body = [*self.program(depth + 1), {"do": "return", "value": {"$var": "item"}}]
        made = {"do": "map", "name": "map", "items": {"$range": 3}, "item": "item", "body": body}
        return self.named({**made, "concurrency": self.chance.choice([1, 2, 5])}, depth)

    def branch(self, depth: int) -> dict[str, Any]:
        return self.named({"do": "branch", "name": "side", "body": self.program(depth + 1)}, depth)


def scenario(seed: int) -> dict[str, Any]:
    maker = Maker(seed)
    program = maker.program()
    program.append({"do": "return", "value": [{"$var": name} for name in maker.vars]})
    return {
        "about": f"seed {seed}",
        "programs": {"b1": program},
        "children": {"echo": [{"do": "return", "value": {"$input": True}}]},
        "expect": {"state": "completed"},
    }


def deaths(seed: int, result: Result) -> list[dict[str, Any]]:
    """Points of the undisturbed run at which the worker is to die."""
    chance = random.Random(seed + 1_000_000)
    keys = [record["key"] for record in result.records if record["kind"] == "step"]
    points = ["before_effect", "after_effect", "recorded"]
    chosen = (
        [(chance.choice(keys), chance.choice(points)) for _ in range(FAULTS_MAX)] if keys else []
    )
    return [
        {"at": {"step": key, "point": point}, "do": "kill_worker"}
        for key, point in dict.fromkeys(chosen)
    ]


def told(result: Result) -> dict[str, list[Any]]:
    """The journal by branch, without what a death may add."""
    branches: dict[str, list[Any]] = {}
    for record in result.records:
        if record["kind"] in ("attempt", "resolved"):
            continue
        scope = record["key"].rpartition("/")[0]
        value = of(record, "value").get("v")
        error = of(record, "error").get("code")
        said = [record["kind"], record["key"], value, error, record.get("fingerprint")]
        branches.setdefault(scope, []).append(said)
    return branches


def effects(result: Result) -> dict[str, list[str]]:
    """The first effect of each step, in order, by branch."""
    branches: dict[str, dict[str, None]] = {}
    for line in result.play.effects():
        branches.setdefault(line["key"].rpartition("/")[0], {})[line["key"]] = None
    return {scope: list(keys) for scope, keys in branches.items()}


@pytest.mark.parametrize("seed", SEEDS)
async def test_a_killed_run_has_the_journal_of_the_undisturbed_one(
    seed: int, server: Server, tmp_path: Path
) -> None:
    file = tmp_path / "scenario.json"
    plain = scenario(seed)
    file.write_text(json.dumps(plain))
    undisturbed = await Play(file, tmp_path / "undisturbed", server).play()
    file.write_text(json.dumps({**plain, "faults": deaths(seed, undisturbed)}))
    killed = await asyncio.wait_for(Play(file, tmp_path / "killed", server).play(), 100)
    assert told(killed) == told(undisturbed)
    assert effects(killed) == effects(undisturbed)
    assert killed.detail["output"] == undisturbed.detail["output"]
    paid = [line["key"] for line in killed.play.effects() if "pay" in line["key"]]
    assert len(paid) == len(set(paid)), f"a once step acted twice: {paid}"
