"""Scripts that know no server, and the program `polos` that is started for them."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from polos import binary
from polos.errors import BinaryMissing

SCRIPT = """
    from polos import WorkflowContext, workflow

    def add(a: int, b: int) -> int:
        return a + b

    @workflow
    async def sum_up(ctx: WorkflowContext, numbers: list[int]) -> int:
        total = 0
        for number in numbers:
            total = await ctx.step("add", add, total, number)
        return total

    @workflow
    async def twice(ctx: WorkflowContext, numbers: list[int]) -> int:
        first = await sum_up.run(numbers)
        second = await sum_up.spawn(numbers, name="again")
        return first + await second

    if __name__ == "__main__":
        print(twice.run_sync([1, 2, 3], key="the-same"))
        print(sum_up.run_sync([4]))
"""


def run_script(directory: Path) -> list[str]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("POLOS_URL")}
    done = subprocess.run(
        [sys.executable, "-W", "error", "app.py"],
        cwd=directory,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert not done.stderr, done.stderr
    return done.stdout.split()


def test_a_script_runs_with_no_server_to_learn(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(textwrap.dedent(SCRIPT))
    assert run_script(tmp_path) == ["12", "4"]
    assert (tmp_path / ".polos" / "polos.db").exists()
    # The same key is the same run, in another process with another server over the same data.
    assert run_script(tmp_path) == ["12", "4"]


def test_a_misfit_program_is_refused_showing_both(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "polos"
    program.write_text("#!/bin/sh\necho polos 9.9.9\n")
    program.chmod(0o755)
    monkeypatch.setenv("POLOS_BINARY", str(program))
    with pytest.raises(
        BinaryMissing, match=r"version 9\.9\.9, but this package is version 0\.1\.0"
    ):
        binary.find()
    monkeypatch.setenv("POLOS_BINARY", str(tmp_path / "nowhere"))
    with pytest.raises(BinaryMissing, match="which is not there"):
        binary.find()


def test_without_a_program_the_way_to_get_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("POLOS_BINARY", raising=False)
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(binary, "_of_repository", lambda: None)
    with pytest.raises(BinaryMissing, match="pip install"):
        binary.find()


def test_the_import_is_quick() -> None:
    """Counted, not timed: what is loaded is what costs."""
    loaded = subprocess.run(
        [sys.executable, "-c", "import polos, sys; print(' '.join(sys.modules))"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    assert "polos.workflow" in loaded
    assert not {"pydantic", "httpx", "websockets", "asyncio"} & set(loaded)
