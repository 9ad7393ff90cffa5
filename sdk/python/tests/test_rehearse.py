"""`polos replay`: stored journals against the code of now, dry."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from polos import Client, Server, binary

VERSIONS = Path(__file__).parent / "versions.py"
GIVEN = {"small": [1, 3], "large value": [1, 500_000], "many pages": [700, 3]}
"""How many steps, and how long a text each gives. A page of a dry replay has 500 records."""


@dataclass
class Stored:
    """Runs that the old code recorded, and that wait for a person; no server or worker is left."""

    place: Path
    runs: dict[str, str]

    @property
    def ledger(self) -> Path:
        return self.place / "ledger"


async def record(server: Server) -> dict[str, str]:
    async with Client(server.address.url, server.address.token) as client:
        runs = {name: await client.start("versions.order", given) for name, given in GIVEN.items()}
        for run in runs.values():
            while (await run.detail())["state"] != "waiting":
                await asyncio.sleep(0.05)
        return {name: run.run_id for name, run in runs.items()}


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stored]:
    place = tmp_path_factory.mktemp("stored")
    with Server(place / "data") as server:
        address = server.address
        environment = {**os.environ, "POLOS_URL": address.url, "POLOS_TOKEN": address.token}
        command = [sys.executable, str(VERSIONS), "old", str(place / "ledger")]
        worker = subprocess.Popen(command, env=environment)
        try:
            runs = asyncio.run(asyncio.wait_for(record(server), 120))
        finally:
            worker.kill()
            worker.wait()
    yield Stored(place, runs)


def replay(stored: Stored, code: str, which: str) -> dict[str, Any]:
    """What `polos replay` says of some code; and nothing of it may have run."""
    before = stored.ledger.read_text()
    command = f"{sys.executable} {VERSIONS} {code} {stored.ledger}"
    (stored.place / "polos.toml").write_text(f'[dev]\nworker = "{command}"\n')
    environment = {k: v for k, v in os.environ.items() if k not in ("POLOS_URL", "POLOS_TOKEN")}
    environment["POLOS_DATA_DIR"] = str(stored.place / "data")
    said = subprocess.run(
        [str(binary.find()), "replay", "--json", "--all", stored.runs[which]],
        cwd=stored.place,
        env=environment,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert stored.ledger.read_text() == before
    assert said.stdout, said.stderr
    return json.loads(said.stdout.splitlines()[0])


@pytest.mark.parametrize("which", GIVEN)
def test_the_code_that_recorded_a_run_agrees(stored: Stored, which: str) -> None:
    finding = replay(stored, "old", which)["finding"]
    assert finding == {"result": "agrees", "next": "waits for `ship`"}


def test_a_step_that_is_new_before_recorded_ones_is_said_to_be_inserted(stored: Stored) -> None:
    finding = replay(stored, "inserted", "small")["finding"]
    unchecked = ["charge", "ship"]
    assert finding == {"result": "inserts", "steps": ["audit"], "unchecked": unchecked}


def test_a_renamed_once_step_differs_and_both_sides_are_shown(stored: Stored) -> None:
    finding = replay(stored, "renamed", "small")["finding"]
    assert finding["result"] == "differs"
    blocked = finding["blocked"]
    assert (blocked["code"], blocked["step"]) == ("nondeterminism", "pay")
    assert any("charge" in line for line in blocked["difference"]["recorded"])
    assert any("pay" in line for line in blocked["difference"]["asked"])


def test_a_patch_keeps_the_old_way(stored: Stored) -> None:
    assert replay(stored, "patched", "small")["finding"]["result"] == "agrees"


def test_code_that_fails_says_so(stored: Stored) -> None:
    said = replay(stored, "raises", "small")
    next = "ends with an error: the new code is broken (error)"
    assert said["finding"] == {"result": "agrees", "next": next}
