"""Every scenario of tests/conformance."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from polos import Server

from .harness import Play

SCENARIOS = Path(__file__).resolve().parents[4] / "tests" / "conformance" / "scenarios"
FILES = sorted(SCENARIOS.glob("*/*.json"))


def kills_server(file: Path) -> bool:
    return "kill_server" in file.read_text()


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[Server]:
    with Server(tmp_path / "data") as server:
        yield server


def test_there_are_scenarios() -> None:
    assert len(FILES) >= 60
    for file in FILES:
        assert json.loads(file.read_text())["about"], file


@pytest.mark.parametrize("file", FILES, ids=lambda file: f"{file.parent.name}/{file.stem}")
def test_scenario(
    file: Path, tmp_path: Path, server: Server, request: pytest.FixtureRequest
) -> None:
    used: Server = request.getfixturevalue("own_server") if kills_server(file) else server

    async def main() -> None:
        await asyncio.wait_for(Play(file, tmp_path, used).play(), 120)

    try:
        asyncio.run(main())
    except BaseException:
        log = tmp_path / "log"
        print(log.read_text() if log.exists() else "(no log)")
        raise
