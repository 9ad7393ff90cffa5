"""The program under test, and projects for it."""

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from model_server import ModelServer

REPOSITORY = Path(__file__).parents[2]


def _program() -> Path:
    if named := os.environ.get("POLOS_BINARY"):
        return Path(named)
    target = Path(os.environ.get("CARGO_TARGET_DIR", REPOSITORY / "target"))
    built = [*target.glob("debug/polos"), *target.glob("*/debug/polos")]
    assert built, "no `polos`: run `cargo build -p polos` first, or set POLOS_BINARY"
    return max(built, key=lambda path: path.stat().st_mtime)


@dataclass
class Project:
    """A folder with agents, and a `polos` that speaks with the fake instead of the vendors."""

    folder: Path
    server: ModelServer

    def agent(self, name: str, text: str) -> None:
        agents = self.folder / "agents"
        agents.mkdir(exist_ok=True)
        (agents / f"{name}.toml").write_text(text)

    def polos(self, *args: str, keys: tuple[str, ...] = ("ANTHROPIC", "OPENAI")) -> str:
        inherited = {"PATH", "HOME", "LANG", "TMPDIR", "USER"}
        env = {name: value for name, value in os.environ.items() if name in inherited}
        if "ANTHROPIC" in keys:
            env |= {"ANTHROPIC_API_KEY": "sk-ant-secret", "ANTHROPIC_BASE_URL": self.server.url}
        if "OPENAI" in keys:
            env |= {"OPENAI_API_KEY": "sk-secret", "OPENAI_BASE_URL": f"{self.server.url}/v1"}
            env |= {"OPENAI_MODEL": "some-model"}
        done = subprocess.run(
            [_program(), *args],
            cwd=self.folder,
            env=env,
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, f"{args}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def run(self, agent: str, prompt: str) -> dict[str, Any]:
        """Runs an agent to its end, and gives the run as `polos runs show --json` does."""
        run = self.polos("run", agent, prompt, "--json").splitlines()
        id = json.loads(run[-1])["id"]
        return json.loads(self.polos("runs", "show", id, "--json"))


@pytest.fixture
def project(tmp_path: Path):
    def make(server: ModelServer) -> Project:
        return Project(tmp_path, server)

    return make
