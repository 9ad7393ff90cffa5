"""Each example prints what its page says."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parents[3] / "examples" / "python"
README = (EXAMPLES / "README.md").read_text()
SAID = dict(re.findall(r"^## (\w+)\n.*?```text\n(.*?)```", README, re.DOTALL | re.MULTILINE))


def test_the_page_names_all_examples() -> None:
    assert sorted(SAID) == sorted(path.stem for path in EXAMPLES.glob("*.py"))


@pytest.mark.parametrize("name", sorted(SAID))
def test_example(name: str, tmp_path: Path) -> None:
    source = (EXAMPLES / f"{name}.py").read_text()
    assert len(source.splitlines()) < 100
    environment = {k: v for k, v in os.environ.items() if not k.startswith("POLOS_URL")}
    done = subprocess.run(
        [sys.executable, "-W", "error", str(EXAMPLES / f"{name}.py")],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert (done.stdout, done.returncode) == (SAID[name], 0), done.stderr
    assert not done.stderr, done.stderr
