"""Durable agents and workflows as plain Python."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

# These have the names of their modules, so they are bound here once and for all.
from polos.step import Done as Done
from polos.step import StepContext as StepContext
from polos.step import Unknown as Unknown
from polos.step import current_step as current_step
from polos.step import step as step
from polos.tool import Tool as Tool
from polos.tool import tool as tool
from polos.workflow import Workflow as Workflow
from polos.workflow import workflow as workflow

if TYPE_CHECKING:
    from polos.agent import Agent as Agent
    from polos.agent import AgentEvent as AgentEvent
    from polos.agent import AgentStream as AgentStream
    from polos.agent import Limits as Limits
    from polos.agent import ask_user as ask_user
    from polos.client import Client as Client
    from polos.client import RunEvent as RunEvent
    from polos.client import RunHandle as RunHandle
    from polos.context import Answer as Answer
    from polos.context import Event as Event
    from polos.context import WorkflowContext as WorkflowContext
    from polos.context import current_context as current_context
    from polos.errors import ApiError as ApiError
    from polos.errors import Cancelled as Cancelled
    from polos.errors import Failure as Failure
    from polos.errors import NoRetry as NoRetry
    from polos.errors import NotDone as NotDone
    from polos.errors import PolosError as PolosError
    from polos.errors import Rejected as Rejected
    from polos.errors import RetryAfter as RetryAfter
    from polos.errors import RunBlocked as RunBlocked
    from polos.errors import RunCancelled as RunCancelled
    from polos.errors import RunError as RunError
    from polos.errors import RunFailed as RunFailed
    from polos.errors import StepError as StepError
    from polos.errors import TerminalError as TerminalError
    from polos.errors import TimedOut as TimedOut
    from polos.errors import ValueRefused as ValueRefused
    from polos.pending import Handle as Handle
    from polos.queue import Queue as Queue
    from polos.retry import Retry as Retry
    from polos.run import RunOptions as RunOptions
    from polos.run import RunResult as RunResult
    from polos.run import Usage as Usage
    from polos.sandbox import DockerEnvironmentConfig as DockerEnvironmentConfig
    from polos.sandbox import E2BEnvironmentConfig as E2BEnvironmentConfig
    from polos.sandbox import ExecToolConfig as ExecToolConfig
    from polos.sandbox import FileToolConfig as FileToolConfig
    from polos.sandbox import LocalEnvironmentConfig as LocalEnvironmentConfig
    from polos.sandbox import SandboxTools as SandboxTools
    from polos.sandbox import SandboxToolsConfig as SandboxToolsConfig
    from polos.sandbox import sandbox_tools as sandbox_tools
    from polos.server import Server as Server
    from polos.worker import Worker as Worker
    from polos.worker import serve as serve

_WHERE = {
    "agent": ["Agent", "AgentEvent", "AgentStream", "Limits", "ask_user"],
    "sandbox": [
        "DockerEnvironmentConfig",
        "E2BEnvironmentConfig",
        "ExecToolConfig",
        "FileToolConfig",
        "LocalEnvironmentConfig",
        "SandboxTools",
        "SandboxToolsConfig",
        "sandbox_tools",
    ],
    "client": ["Client", "RunEvent", "RunHandle"],
    "context": ["Answer", "Event", "WorkflowContext", "current_context"],
    "errors": [
        "ApiError",
        "Cancelled",
        "Failure",
        "NoRetry",
        "NotDone",
        "PolosError",
        "Rejected",
        "RetryAfter",
        "RunBlocked",
        "RunCancelled",
        "RunError",
        "RunFailed",
        "StepError",
        "TerminalError",
        "TimedOut",
        "ValueRefused",
    ],
    "pending": ["Handle"],
    "queue": ["Queue"],
    "retry": ["Retry"],
    "run": ["RunOptions", "RunResult", "Usage"],
    "server": ["Server"],
    "worker": ["Worker", "serve"],
}
"""Where each name stands: it is loaded when it is first asked for, so that the import is quick."""
_MODULES = {name: module for module, names in _WHERE.items() for name in names}

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    module = _MODULES.get(name)
    if module is None:
        raise AttributeError(f"module `polos` has no attribute `{name}`")
    found = getattr(import_module(f"polos.{module}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted([*globals(), *_MODULES])
