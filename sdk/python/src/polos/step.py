"""Steps: an effect, carried out at most once per record, with retries and a time limit."""

from __future__ import annotations

import contextvars
import functools
import inspect
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Generic, Literal, ParamSpec, TypeVar, cast, overload

from polos import limits
from polos.codec import Codec, annotation_of, codec_of, to_jsonable
from polos.duration import Duration, milliseconds
from polos.errors import Attempt, NotDone, PolosError, failure_of
from polos.replay import derive
from polos.replay.request import UNKNOWN, EffectKind, Fault, Mismatch, Report, StepSpec, Verdict
from polos.retry import Retry
from polos.value import Value, dumps

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")

Kind = Literal["repeatable", "once"]


@dataclass(frozen=True, slots=True)
class Done(Generic[T]):
    """What `verify` answers: it went through, with this result."""

    value: T


class Unknown:
    """What `verify` answers when nobody can say: a person is asked."""


@dataclass(frozen=True, slots=True)
class Options:
    """How a step is carried out: see `step`."""

    effect: Kind = "repeatable"
    verify: Callable[..., Any] | None = None
    retry: Retry = field(default_factory=Retry)
    timeout_ms: int = limits.STEP_TIMEOUT_MS
    fenced: bool = False
    on_mismatch: Mismatch = "block"
    was: str | None = None
    label: str | None = None

    def __post_init__(self) -> None:
        if self.effect not in ("repeatable", "once"):
            raise ValueError(f'`effect` is "repeatable" or "once", not `{self.effect}`')
        if self.verify is not None and self.effect != "once":
            raise ValueError('only a step with `effect="once"` is verified')
        if self.timeout_ms < 1:
            raise ValueError("`timeout` must be above 0")


_UNCHANGED: Any = object()


class StepFunction(Generic[P, R]):
    """A function with the options of a step. Called outside of `ctx.step`, it is the function."""

    def __init__(
        self, function: Callable[P, R], options: Options, names: Mapping[str, Any] | None = None
    ) -> None:
        self.function = function
        self.settings = options
        self.names = names
        functools.update_wrapper(self, function, updated=())

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        return self.function(*args, **kwargs)

    def options(
        self,
        *,
        effect: Kind = _UNCHANGED,
        verify: Callable[..., Any] | None = _UNCHANGED,
        retry: Retry = _UNCHANGED,
        timeout: Duration = _UNCHANGED,
        fenced: bool = _UNCHANGED,
        on_mismatch: Mismatch = _UNCHANGED,
        was: str | None = _UNCHANGED,
        label: str | None = _UNCHANGED,
    ) -> StepFunction[P, R]:
        """The same function with some options changed, for one call."""
        given = {
            "effect": effect,
            "verify": verify,
            "retry": retry,
            "timeout_ms": timeout if timeout is _UNCHANGED else milliseconds(timeout),
            "fenced": fenced,
            "on_mismatch": on_mismatch,
            "was": was,
            "label": label,
        }
        changed: dict[str, Any] = {k: v for k, v in given.items() if v is not _UNCHANGED}
        return StepFunction(self.function, replace(self.settings, **changed), self.names)


@overload
def step(function: Callable[P, R], /) -> StepFunction[P, R]: ...
@overload
def step(
    *,
    effect: Kind = "repeatable",
    verify: Callable[..., Any] | None = None,
    retry: Retry | None = None,
    timeout: Duration | None = None,
    fenced: bool = False,
    on_mismatch: Mismatch = "block",
    was: str | None = None,
    label: str | None = None,
) -> Callable[[Callable[P, R]], StepFunction[P, R]]: ...
def step(
    function: Callable[..., Any] | None = None,
    /,
    *,
    effect: Kind = "repeatable",
    verify: Callable[..., Any] | None = None,
    retry: Retry | None = None,
    timeout: Duration | None = None,
    fenced: bool = False,
    on_mismatch: Mismatch = "block",
    was: str | None = None,
    label: str | None = None,
) -> Any:
    """Puts the options of a step on a function.

    effect       `"repeatable"` (default): after a crash between effect and record it runs again,
                 with the same idempotency key. `"once"`: it is never blindly repeated.
    verify       for `"once"`: is given the step's arguments (and `idempotency_key`, if it takes
                 one) and answers `Done(value)`, `NotDone()` or `Unknown()`.
    retry        how often a failed attempt is made again.
    timeout      how long an attempt may take; ten minutes unless said.
    fenced       the receiver acts at most once per idempotency key, however late a request comes.
    on_mismatch  what to do if the recorded arguments were others: block, accept or warn.
    was          the name under which an earlier build recorded the step.
    """
    options = Options(
        effect=effect,
        verify=verify,
        retry=retry or Retry(),
        timeout_ms=limits.STEP_TIMEOUT_MS if timeout is None else milliseconds(timeout),
        fenced=fenced,
        on_mismatch=on_mismatch,
        was=was,
        label=label,
    )
    names = sys._getframe(1).f_locals  # pyright: ignore[reportPrivateUsage]

    def decorate(decorated: Callable[..., Any]) -> StepFunction[..., Any]:
        return StepFunction(decorated, options, names)

    return decorate if function is None else decorate(function)


@dataclass(slots=True)
class StepContext:
    """What a step's own code may know and say: see `current_step`."""

    run_id: str
    key: str
    attempt: int
    """Which attempt this is, from 1."""
    key_generation: int
    send: Callable[[str, int, str, str], None]
    """Sends a piece of live output."""
    cost_micros: int | None = None
    tokens: tuple[int, int] | None = None

    @property
    def idempotency_key(self) -> str:
        """The key to hand to the other side (an `Idempotency-Key` header): the same over all
        attempts of this step, on any machine."""
        return derive.idempotency_key(self.run_id, self.key, self.key_generation)

    def stream(self, kind: str, data: Any) -> None:
        """Sends a piece of live output: `text`, `stdout`, `progress` and so on."""
        self.send(self.key, self.attempt, kind, dumps(to_jsonable(data, "data")))

    def cost(self, dollars: float) -> None:
        """Records what the step cost."""
        self.cost_micros = round(dollars * 1_000_000)

    def used(self, tokens_in: int, tokens_out: int) -> None:
        """Records the tokens that went in and came out."""
        self.tokens = (tokens_in, tokens_out)


_current: contextvars.ContextVar[StepContext] = contextvars.ContextVar("polos_step")


def current_step() -> StepContext:
    """The step whose code is running: its idempotency key, attempt and live output."""
    try:
        return _current.get()
    except LookupError:
        raise PolosError(
            "no step is running here", hint="call it inside a function given to `ctx.step`"
        ) from None


class StepCall:
    """A function with its arguments, as the effect of a step."""

    def __init__(
        self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> None:
        given: Any = function
        is_step = isinstance(given, StepFunction)
        self.options: Options = given.settings if is_step else Options()
        self.function: Callable[..., Any] = given.function if is_step else given
        self.args = args
        self.kwargs = kwargs
        names: Mapping[str, Any] | None = given.names if is_step else None
        self.codec: Codec = _result_codec(self.function, names)

    def spec(self, key: str) -> StepSpec:
        """How the machine is to carry it out. Arguments that are recorded must be recordable."""
        options, args, fingerprint = self.options, None, None
        if options.effect == "once":
            data = to_jsonable(list(self.args), f"{key}.args")
            if self.kwargs:
                data = [*data, to_jsonable(self.kwargs, f"{key}.kwargs")]
            args, fingerprint = Value(data=data), derive.fingerprint(data)
        return StepSpec(
            once=options.effect == "once",
            label=options.label,
            retry=options.retry,
            timeout_ms=options.timeout_ms,
            fingerprint=fingerprint,
            on_mismatch=options.on_mismatch,
            has_verify=options.verify is not None,
            is_fenced=options.fenced,
            args=args,
        )

    async def begin(self, kind: EffectKind, step: StepContext) -> Report:
        """Carries the function out, or asks `verify`."""
        _current.set(step)
        if kind is EffectKind.VERIFY:
            return Report(await self._verify(step))
        try:
            result = await self.act(step)
            outcome = self.codec.encode(result, f"the result of `{step.key}`")
        except Exception as error:
            outcome = self._fault(error)
        return Report(outcome, cost_micros=step.cost_micros, tokens=step.tokens)

    async def act(self, step: StepContext) -> Any:
        """Calls the function."""
        return await call(self.function, self.args, self.kwargs)

    def _fault(self, error: Exception) -> Fault:
        hopeless = self.options.retry.is_hopeless(error)
        if isinstance(error, Attempt):
            return Fault(
                failure_of(error),
                retryable=error.retryable and not hopeless,
                retry_after_ms=error.retry_after_ms,
                not_done=error.not_done,
            )
        return Fault(failure_of(error), retryable=not hopeless)

    async def _verify(self, step: StepContext) -> Verdict:
        verify = self.options.verify
        if verify is None:
            return UNKNOWN
        kwargs = dict(self.kwargs)
        if "idempotency_key" in inspect.signature(verify).parameters:
            kwargs["idempotency_key"] = step.idempotency_key
        try:
            answer = await call(verify, self.args, kwargs)
            if isinstance(answer, Done):
                value: Any = cast("Done[Any]", answer).value
                recorded = self.codec.encode(value, f"the result of `{step.key}`")
                return Verdict(is_done=True, is_known=True, value=recorded)
            is_not_done = isinstance(answer, NotDone) or answer is NotDone
            return Verdict(is_known=is_not_done)
        except NotDone:
            return Verdict(is_known=True)
        except Exception:
            return UNKNOWN


class TransactionCall(StepCall):
    """A function that works in the user's own database, as the effect of a step."""

    def __init__(
        self,
        database: Any,
        function: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> None:
        super().__init__(function, args, kwargs)
        if self.options.effect != "repeatable":
            raise ValueError("a transaction needs no `effect`: it happens exactly once")
        self._database = database

    async def act(self, step: StepContext) -> Any:
        """Does the work in one transaction with its marker."""
        from polos import transaction

        work = transaction.work_of(self.function, self.args, self.kwargs)
        return await transaction.run(self._database, step.idempotency_key, work, self.codec)


_result_codecs: dict[Any, Codec] = {}


def _result_codec(function: Callable[..., Any], names: Mapping[str, Any] | None) -> Codec:
    if isinstance(function, functools.partial):
        return _result_codec(cast("functools.partial[Any]", function).func, names)
    code = getattr(function, "__code__", None)
    if code is None or names:
        return codec_of(annotation_of(function, "return", names))
    if "return" not in function.__annotations__:
        return codec_of(annotation_of(function, "return", None))
    found = _result_codecs.get(function)
    if found is None:
        found = codec_of(annotation_of(function, "return", None))
    return found


async def call(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Calls a function of the user's: one that is not async runs in a thread, since it may block."""
    if is_async(function):
        return await function(*args, **kwargs)
    import asyncio  # Half of what this package's import would cost.

    result: Any = await asyncio.to_thread(function, *args, **kwargs)
    return await result if inspect.isawaitable(result) else result


def is_async(function: Callable[..., Any]) -> bool:
    """True if calling the function gives a coroutine."""
    while isinstance(function, functools.partial):
        function = cast("functools.partial[Any]", function).func
    target: Any = function if hasattr(function, "__code__") else type(function).__call__
    return inspect.iscoroutinefunction(target)
