"""Tools: functions that a model may call. A call is a run of its own in this worker, recorded, tried
again and traced like any other; without a context its function is one step of that run."""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Generic, ParamSpec, TypeVar, cast, overload

from polos.codec import Codec, annotation_of, codec_of
from polos.context import WorkflowContext
from polos.duration import Duration, milliseconds
from polos.errors import ValueRefused
from polos.queue import Queue
from polos.retry import Retry
from polos.step import Kind, Options, StepFunction
from polos.value import Value, dumps
from polos.workflow import Workflow

P = ParamSpec("P")
R = TypeVar("R")


class Arguments(Codec):
    """Writes and reads the arguments of a function, as one object."""

    def __init__(self, function: Callable[..., Any], names: Mapping[str, Any] | None) -> None:
        super().__init__(dict)
        self._function = function
        self._names = names

    @functools.cached_property
    def model(self) -> Any:
        """A Pydantic model of the parameters."""
        from pydantic import ConfigDict, create_model

        fields: dict[str, Any] = {}
        for parameter in parameters_of(self._function):
            annotation = annotation_of(self._function, parameter.name, self._names)
            default = ... if parameter.default is parameter.empty else parameter.default
            fields[parameter.name] = (Any if annotation is object else annotation, default)
        config = ConfigDict(extra="forbid", ser_json_bytes="base64", val_json_bytes="base64")
        name = self._function.__name__
        return create_model(name, __config__=config, **fields)

    def encode(self, value: Any, what: str) -> Value:
        try:
            made = self.model.model_validate(value)
            return Value(text=dumps(made.model_dump(mode="json")))
        except (ValueError, TypeError) as cause:
            raise ValueRefused(what, str(cause)) from cause

    def decode(self, value: Value, what: str) -> Any:
        try:
            made: Any = self.model.model_validate_json(value.text)
        except ValueError as cause:
            raise ValueRefused(what, f"they do not fit: {cause}") from cause
        return {name: getattr(made, name) for name in self.model.model_fields}

    def schema(self) -> dict[str, Any] | None:
        schema: dict[str, Any] = self.model.model_json_schema()
        schema.pop("title", None)
        return schema


def parameters_of(function: Callable[..., Any]) -> list[inspect.Parameter]:
    """What the model gives: all parameters but the context."""
    parameters = list(inspect.signature(function).parameters.values())
    if parameters and takes_context(function):
        parameters = parameters[1:]
    for parameter in parameters:
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            raise TypeError(
                f"tool `{function.__name__}` takes `*{parameter.name}`: a model needs names"
            )
    return parameters


def takes_context(function: Callable[..., Any]) -> bool:
    """True if the first parameter is the context."""
    first = next(iter(inspect.signature(function).parameters.values()), None)
    if first is None:
        return False
    return first.annotation in (WorkflowContext, "WorkflowContext", "polos.WorkflowContext")


class Tool(Workflow[Any, R], Generic[P, R]):
    """A function that a model may call. Called, it is the function."""

    kind = "tool"

    def __init__(
        self,
        function: Callable[P, Any],
        *,
        id: str | None = None,
        description: str | None = None,
        options: Options | None = None,
        queue: Queue | str | None = None,
        names: Mapping[str, Any] | None = None,
    ) -> None:
        self._plain: Callable[..., Any] = function
        self._options = options or Options()
        self._context_first = takes_context(function)
        self._names_of_tool = names
        parameters_of(function)
        super().__init__(
            self._body, id=id or function.__name__, description=description, queue=queue
        )
        self.description = description or inspect.getdoc(function)
        functools.update_wrapper(self, function, updated=())
        self.file = getattr(getattr(function, "__code__", None), "co_filename", None)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Any:
        return self._plain(*args, **kwargs)

    @functools.cached_property
    def input(self) -> Codec:
        """Writes and reads the arguments."""
        return Arguments(self._plain, self._names_of_tool)

    @functools.cached_property
    def output(self) -> Codec:
        """Writes and reads results."""
        return codec_of(annotation_of(self._plain, "return", self._names_of_tool))

    async def _body(self, ctx: WorkflowContext, arguments: Any) -> Any:
        given = cast("dict[str, Any]", arguments)
        if self._context_first:
            running: Awaitable[Any] = self._plain(ctx, **given)
            return await running
        step = StepFunction(self._plain, self._options, self._names_of_tool)
        return await ctx.step(self.id, step, **given)


@overload
def tool(function: Callable[P, Awaitable[R]], /) -> Tool[P, R]: ...
@overload
def tool(function: Callable[P, R], /) -> Tool[P, R]: ...
@overload
def tool(
    *,
    id: str | None = None,
    description: str | None = None,
    effect: Kind = "repeatable",
    verify: Callable[..., Any] | None = None,
    retry: Retry | None = None,
    timeout: Duration | None = None,
    queue: Queue | str | None = None,
) -> Callable[[Callable[P, Any]], Tool[P, Any]]: ...
def tool(
    function: Callable[..., Any] | None = None,
    /,
    *,
    id: str | None = None,
    description: str | None = None,
    effect: Kind = "repeatable",
    verify: Callable[..., Any] | None = None,
    retry: Retry | None = None,
    timeout: Duration | None = None,
    queue: Queue | str | None = None,
) -> Any:
    """Makes a function a tool. What the model is told of it is its docstring and its parameters. A
    first parameter annotated `WorkflowContext` gives it the context; without one it is a step, with
    the options of a step."""
    options = Options(effect=effect, verify=verify, retry=retry or Retry())
    if timeout is not None:
        options = Options(
            effect=effect,
            verify=verify,
            retry=retry or Retry(),
            timeout_ms=milliseconds(timeout),
        )
    names = sys._getframe(1).f_locals  # pyright: ignore[reportPrivateUsage]

    def decorate(decorated: Callable[..., Any]) -> Tool[..., Any]:
        return Tool(
            decorated,
            id=id,
            description=description,
            options=options,
            queue=queue,
            names=names,
        )

    return decorate if function is None else decorate(function)
