"""What goes wrong: failures as recorded, and the exceptions that user code meets and raises.

In a workflow's body, `StepError` is raised by what is awaited, and `Cancelled` when the run is being
cancelled. In a step, any exception is an error that is tried again; the classes under `Attempt` say
more. Outside, `run()` and the client raise `RunFailed` and its like, and `ApiError`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

_CAUSES_MAX = 8
_MESSAGE_CHARS_MAX = 20_000


@dataclass(frozen=True, slots=True)
class Failure:
    """An error as recorded. `code` is a stable word; `error` for exceptions without one."""

    code: str
    message: str
    terminal: bool = False
    """True if trying again cannot help: the run fails instead of blocking."""
    kind: str | None = None
    """The class of the exception, where there was one."""
    cause: Failure | None = None
    details: Any = None

    def to_json(self) -> dict[str, Any]:
        """The form in which it is sent."""
        fields: dict[str, Any] = {"code": self.code, "message": self.message}
        if self.terminal:
            fields["terminal"] = True
        if self.kind is not None:
            fields["kind"] = self.kind
        if self.cause is not None:
            fields["cause"] = self.cause.to_json()
        if self.details is not None:
            fields["details"] = self.details
        return fields

    @staticmethod
    def from_json(fields: dict[str, Any]) -> Failure:
        """Reads the form in which it is sent."""
        cause = fields.get("cause")
        return Failure(
            code=fields.get("code", "error"),
            message=fields.get("message", ""),
            terminal=bool(fields.get("terminal", False)),
            kind=fields.get("kind"),
            cause=None if cause is None else Failure.from_json(cause),
            details=fields.get("details"),
        )


class PolosError(Exception):
    """The base of all errors of this package: a stable `code`, a message, and a hint if known."""

    code = "error"
    terminal = False
    details: Any = None

    def __init__(self, message: str, *, code: str | None = None, hint: str = "") -> None:
        super().__init__(f"{message}\nhint: {hint}" if hint else message)
        self.message = message
        self.hint = hint
        if code is not None:
            self.code = code


class StepError(PolosError):
    """A step, child run, wait or question failed. `step` is its key, `failure` what is recorded."""

    def __init__(self, failure: Failure, step: str | None = None) -> None:
        super().__init__(failure.message, code=failure.code)
        self.failure = failure
        self.step = step
        self.terminal = failure.terminal
        self.details = failure.details
        self.kind = failure.kind


class TimedOut(StepError):
    """A deadline passed before the outcome came, or an attempt took too long."""


class Rejected(PolosError):
    """A person said no to a question with a form. `feedback` is what else was said."""

    code = "rejected"

    def __init__(self, message: str, feedback: str | None) -> None:
        super().__init__(message)
        self.feedback = feedback


class Cancelled(BaseException):
    """The run is being cancelled. Let it pass; what must be undone goes into `ctx.cleanup`."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


class Evicted(BaseException):
    """The run has left this process (parked, given back, ended): its code is being closed."""


class ValueRefused(PolosError, TypeError):
    """A value cannot be recorded. `path` is the place inside it, such as `order.items[2].price`."""

    code = "value"
    terminal = True

    def __init__(self, path: str, why: str, hint: str = "") -> None:
        super().__init__(f"`{path}` cannot be recorded: {why}", hint=hint)
        self.path = path


class Attempt(PolosError):
    """The base of what a step raises to say more than an ordinary exception does."""

    not_done = False
    retryable = True
    retry_after_ms: int | None = None


class TerminalError(Attempt):
    """Trying again cannot help: raised in the code at once; fails the run if nobody catches it."""

    terminal = True
    retryable = False

    def __init__(
        self, message: str, *, code: str | None = None, hint: str = "", details: Any = None
    ) -> None:
        super().__init__(message, code=code, hint=hint)
        self.details = details


class NoRetry(Attempt):
    """Raised in the code at once, without failing the run by itself."""

    retryable = False


class RetryAfter(Attempt):
    """Tried again, but not before so many seconds have passed."""

    def __init__(self, message: str, seconds: float, *, code: str | None = None) -> None:
        super().__init__(message, code=code)
        self.retry_after_ms = round(seconds * 1000)


class NotDone(Attempt):
    """Of a `once` step: the effect surely did not happen, so that trying again is safe. Raised by
    the step, or returned by its `verify`."""

    code = "not_done"
    not_done = True

    def __init__(self, message: str = "it was not done", *, code: str | None = None) -> None:
        super().__init__(message, code=code)


class RunError(PolosError):
    """A run did not complete. `run_id` is its id."""

    def __init__(self, run_id: str, message: str, *, code: str, hint: str = "") -> None:
        super().__init__(message, code=code, hint=hint)
        self.run_id = run_id


class RunFailed(RunError):
    """The run failed with `failure`."""

    def __init__(self, run_id: str, failure: Failure) -> None:
        super().__init__(run_id, failure.message, code=failure.code)
        self.failure = failure


class RunCancelled(RunError):
    """The run was cancelled or killed."""

    def __init__(self, run_id: str, failure: Failure | None) -> None:
        message = failure.message if failure else "the run was cancelled"
        super().__init__(run_id, message, code="cancelled")


class RunBlocked(RunError):
    """The run needs a person: `blocked` is the reason, with the verb that mends it."""

    def __init__(self, run_id: str, blocked: dict[str, Any]) -> None:
        hint = str(blocked.get("hint", "")).replace("RUN", run_id)
        message = f"run `{run_id}` is blocked: {blocked.get('message', '')}"
        super().__init__(run_id, message, code=str(blocked.get("code", "blocked")), hint=hint)
        self.blocked = blocked


class ApiError(PolosError):
    """The server refused a request: HTTP `status`, code, message, hint and details."""

    def __init__(self, status: int, code: str, message: str, hint: str, details: Any) -> None:
        super().__init__(message, code=code, hint=hint)
        self.status = status
        self.details = details

    @property
    def is_retryable(self) -> bool:
        """True if the same request may succeed later."""
        return self.status in (429, 502, 503, 504)


class Unreachable(PolosError):
    """There is no server, or no connection to it came about."""

    code = "unreachable"


class WorkerRefused(PolosError):
    """The server does not want this worker: trying again cannot help."""

    code = "worker"


class BinaryMissing(PolosError):
    """The `polos` program was not found, or is of another version."""

    code = "no_binary"


def failure_of(error: BaseException, depth: int = 0) -> Failure:
    """What is recorded of an exception, its causes with it."""
    if isinstance(error, StepError):
        return error.failure
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    below = failure_of(cause, depth + 1) if cause and depth < _CAUSES_MAX else None
    message = str(error) or type(error).__name__
    message = message.encode("utf-8", "replace").decode()[:_MESSAGE_CHARS_MAX]
    kind = type(error).__qualname__
    if not isinstance(error, PolosError):
        return Failure("error", message, kind=kind, cause=below)
    message = error.message[:_MESSAGE_CHARS_MAX]
    details = error.details
    return Failure(error.code, message, error.terminal, kind=kind, cause=below, details=details)


def step_error(failure: Failure, step: str | None) -> StepError:
    """The exception that is raised in the code for a recorded failure."""
    return (TimedOut if failure.code == "timeout" else StepError)(failure, step)
