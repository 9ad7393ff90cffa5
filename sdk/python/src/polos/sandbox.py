"""The sandbox of an agent: where its six tools work, and what may be done there without a person.
Plain data; the worker that runs the agent opens the box."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from polos.duration import Duration, milliseconds

Environment = Literal["local", "docker", "e2b"]
Security = Literal["allowlist", "ask", "full", "deny"]
Approval = Literal["none", "writes", "always"]

SANDBOX_TOOLS = ("exec", "read", "write", "edit", "glob", "grep")
"""The six tools, in their order."""


@dataclass(frozen=True, slots=True)
class LocalEnvironmentConfig:
    """A child process of this machine under the kernel's isolation. Linux only."""

    isolation: Literal["strict", "standard", "none"] | None = None
    """The isolation below which a box is refused."""
    workspace_dir: str | None = None
    """A folder of yours to work in; one of the box's own if it is not named."""
    env: Mapping[str, str] | None = None
    """Variables of every command."""
    protected: Sequence[str] | None = None
    """Paths beneath the workspace that are read-only in the box."""


@dataclass(frozen=True, slots=True)
class DockerEnvironmentConfig:
    """A container."""

    image: str
    workspace_dir: str | None = None
    memory: str | None = None
    cpus: float | None = None
    pids: int | None = None
    network: Any = None
    env: Mapping[str, str] | None = None
    user: str | None = None
    setup: str | None = None
    runtime: str | None = None


@dataclass(frozen=True, slots=True)
class E2BEnvironmentConfig:
    """A sandbox of E2B, or of a compatible service."""

    template: str | None = None
    timeout: Duration | None = None
    api_url: str | None = None


@dataclass(frozen=True, slots=True)
class ExecToolConfig:
    """The exec tool: which commands run without a question."""

    security: Security | None = None
    allowlist: Sequence[str] = ()
    """Patterns such as `npm test` or `git diff *`."""
    env_allowlist: Sequence[str] = ()
    timeout: Duration = 120


@dataclass(frozen=True, slots=True)
class FileToolConfig:
    """The file tools: which changes wait for a person, and what may be seen besides."""

    approval: Approval | None = None
    read_paths: Sequence[str] = ()
    write_paths: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class SandboxToolsConfig:
    """The sandbox tools of an agent."""

    env: Environment = "local"
    local: LocalEnvironmentConfig | None = None
    docker: DockerEnvironmentConfig | None = None
    e2b: E2BEnvironmentConfig | None = None
    exec: ExecToolConfig = field(default_factory=ExecToolConfig)
    files: FileToolConfig = field(default_factory=FileToolConfig)
    scope: str = "run"
    """`run`, `session`, or a name that the runs share."""

    def to_json(self) -> dict[str, Any]:
        """The form in which it is sent."""
        exec_fields = fields_of(self.exec)
        exec_fields["timeout"] = max(milliseconds(self.exec.timeout) // 1000, 1)
        is_named = self.scope not in ("run", "session")
        data: dict[str, Any] = {
            "env": self.env,
            "exec": exec_fields,
            "files": fields_of(self.files),
            "scope": {"named": self.scope} if is_named else self.scope,
        }
        for name in ("local", "docker", "e2b"):
            config: Any = getattr(self, name)
            if config is not None:
                data[name] = fields_of(config)
        return data


def fields_of(config: Any) -> dict[str, Any]:
    """The fields of a configuration that are set."""
    fields: dict[str, Any] = {}
    for one in dataclasses.fields(config):
        value: Any = getattr(config, one.name)
        if value is None or value == ():
            continue
        fields[one.name] = list(value) if isinstance(value, tuple) else value  # pyright: ignore[reportUnknownArgumentType]
    return fields


@dataclass(frozen=True, slots=True)
class SandboxTools:
    """The six tools of one sandbox: exec, read, write, edit, glob, grep."""

    config: SandboxToolsConfig
    names: tuple[str, ...] = SANDBOX_TOOLS

    def only(self, *names: str) -> SandboxTools:
        """Some of the six."""
        unknown = [name for name in names if name not in SANDBOX_TOOLS]
        if unknown:
            raise ValueError(f"`{unknown[0]}` is not one of {', '.join(SANDBOX_TOOLS)}")
        return SandboxTools(self.config, names)


def sandbox_tools(config: SandboxToolsConfig | None = None) -> SandboxTools:
    """The tools exec, read, write, edit, glob and grep in a sandbox."""
    return SandboxTools(config or SandboxToolsConfig())
