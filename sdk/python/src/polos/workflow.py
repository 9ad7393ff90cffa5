"""Workflows: async functions over a context, run durably."""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar, cast, overload

from polos.codec import Codec, annotation_of, codec_of
from polos.context import WorkflowContext, current_context, enter, running_context
from polos.errors import TerminalError, ValueRefused
from polos.pending import Spawn
from polos.queue import Queue
from polos.replay.run import Body
from polos.replay.strand import Code, Core
from polos.run import RunOptions
from polos.value import Value

if TYPE_CHECKING:
    from polos.client import Client, RunHandle

I = TypeVar("I")  # noqa: E741
O = TypeVar("O")  # noqa: E741

OnError = Literal["block", "fail"]
"""What happens when an error leaves the code uncaught: by default a root run blocks and a child
fails."""

Kind = Literal["workflow", "agent", "tool"]


class Workflow(Generic[I, O]):
    """A function that runs durably. Called, it is the function, within the caller's own run."""

    kind: Kind = "workflow"

    def __init__(
        self,
        function: Callable[..., Awaitable[O]],
        *,
        id: str | None = None,
        description: str | None = None,
        queue: Queue | str | None = None,
        on_error: OnError | None = None,
        names: Mapping[str, Any] | None = None,
    ) -> None:
        self.function = function
        self.id = id or function.__name__
        self.description = description or _first_line(function.__doc__)
        self.queue = Queue(queue) if isinstance(queue, str) else queue
        self.on_error = on_error
        self.file: str | None = getattr(getattr(function, "__code__", None), "co_filename", None)
        """The source file that defines it: a part of the build."""
        self._names = names
        self._parameter = _input_parameter(function, self.id)
        functools.update_wrapper(self, function, updated=())
        register(self)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} `{self.id}`>"

    @functools.cached_property
    def input(self) -> Codec:
        """Writes and reads inputs."""
        if self._parameter is None:
            return codec_of(None)
        return codec_of(annotation_of(self.function, self._parameter, self._names))

    @functools.cached_property
    def output(self) -> Codec:
        """Writes and reads outputs."""
        return codec_of(annotation_of(self.function, "return", self._names))

    def __call__(self, *args: Any, **kwargs: Any) -> Awaitable[O]:
        return self.function(*args, **kwargs)

    @overload
    async def run(
        self: Workflow[None, O],
        input: None = None,
        /,
        *,
        key: str | None = ...,
        options: RunOptions | None = ...,
        client: Client | None = ...,
    ) -> O: ...
    @overload
    async def run(
        self,
        input: I,
        /,
        *,
        key: str | None = ...,
        options: RunOptions | None = ...,
        client: Client | None = ...,
    ) -> O: ...
    async def run(
        self,
        input: Any = None,
        /,
        *,
        key: str | None = None,
        options: RunOptions | None = None,
        client: Client | None = None,
    ) -> O:
        """Runs it and waits for its output. In the body of another workflow it is a child run.
        Outside, it needs no server to be running: one is started if none is known. The same `key`
        with the same input is the same run."""
        context = running_context()
        if context is not None:
            return await context.call(self, input, options=options)
        handle = await self.start(input, key=key, options=options, client=client)
        return await handle.result()

    async def start(
        self,
        input: Any = None,
        /,
        *,
        key: str | None = None,
        options: RunOptions | None = None,
        client: Client | None = None,
    ) -> RunHandle[O]:
        """Starts a run and gives a handle on it."""
        from polos import local

        caller = client or await local.client_for(self)
        return await caller.start(self, input, key=key, options=options)

    def run_sync(
        self,
        input: Any = None,
        /,
        *,
        key: str | None = None,
        options: RunOptions | None = None,
    ) -> O:
        """The same as `run`, for scripts without an event loop."""
        from polos import local

        return local.run_sync(self.run(input, key=key, options=options))

    def spawn(
        self,
        input: Any = None,
        /,
        *,
        name: str | None = None,
        options: RunOptions | None = None,
    ) -> Spawn[O]:
        """Starts a child run in the workflow whose body is running; gives a handle on it."""
        return current_context().spawn(self, input, name=name, options=options)

    def body(self, send: Callable[[str, int, str, str], None]) -> Body:
        """Makes the code of a run; `send` takes its live output."""

        def make(core: Core, given: Value) -> Code:
            context = WorkflowContext(core, send)
            return cast(Code, self._main(context, given).__await__())

        return make

    async def _main(self, context: WorkflowContext, given: Value) -> Value:
        enter(context)
        output = await self._call(context, given)
        return self.output.encode(output, f"the output of `{self.id}`")

    def _call(self, context: WorkflowContext, given: Value) -> Awaitable[O]:
        if self._parameter is None:
            return self.function(context)
        try:
            input = self.input.decode(given, "the input")
        except ValueRefused as refused:
            raise TerminalError(refused.message, code="invalid_input") from refused
        return self.function(context, input)

    def definition(self) -> dict[str, Any]:
        """What the server is told of it."""
        fields: dict[str, Any] = {
            "name": self.id,
            "kind": self.kind,
            "description": self.description,
            "input": self.input.schema(),
            "output": self.output.schema(),
            "queue": self.queue.name if self.queue is not None else None,
            "on_error": self.on_error,
        }
        return {name: value for name, value in fields.items() if value is not None}


_registered: dict[str, Workflow[Any, Any]] = {}


def register(workflow: Workflow[Any, Any]) -> None:
    """Makes a definition known to `serve()` and `run()`; a later one of the same name replaces it."""
    _registered[workflow.id] = workflow


def registered() -> list[Workflow[Any, Any]]:
    """All definitions that this process has made."""
    return list(_registered.values())


def _first_line(text: str | None) -> str | None:
    return text.strip().splitlines()[0] if text and text.strip() else None


def _input_parameter(function: Callable[..., Any], id: str) -> str | None:
    if not inspect.iscoroutinefunction(function):
        raise TypeError(
            f"workflow `{id}` is not async: write `async def {function.__name__}(ctx, …)`"
        )
    parameters = list(inspect.signature(function).parameters.values())
    if not 1 <= len(parameters) <= 2:
        raise TypeError(
            f"workflow `{id}` takes {len(parameters)} parameters: it takes the context and at most "
            "one input, such as a model or a dataclass"
        )
    return parameters[1].name if len(parameters) == 2 else None


@overload
def workflow(function: Callable[[WorkflowContext], Awaitable[O]], /) -> Workflow[None, O]: ...
@overload
def workflow(function: Callable[[WorkflowContext, I], Awaitable[O]], /) -> Workflow[I, O]: ...
@overload
def workflow(
    *,
    id: str | None = None,
    description: str | None = None,
    queue: Queue | str | None = None,
    on_error: OnError | None = None,
) -> _Decorator: ...
def workflow(
    function: Callable[..., Awaitable[Any]] | None = None,
    /,
    *,
    id: str | None = None,
    description: str | None = None,
    queue: Queue | str | None = None,
    on_error: OnError | None = None,
) -> Any:
    """Makes an async function a workflow. Its name is the function's unless `id` says otherwise; its
    input and output are read and written by their annotations."""
    names = sys._getframe(1).f_locals  # pyright: ignore[reportPrivateUsage]

    def decorate(decorated: Callable[..., Awaitable[Any]]) -> Workflow[Any, Any]:
        return Workflow(
            decorated, id=id, description=description, queue=queue, on_error=on_error, names=names
        )

    return decorate if function is None else decorate(function)


class _Decorator:
    @overload
    def __call__(
        self, function: Callable[[WorkflowContext], Awaitable[O]], /
    ) -> Workflow[None, O]: ...
    @overload
    def __call__(
        self, function: Callable[[WorkflowContext, I], Awaitable[O]], /
    ) -> Workflow[I, O]: ...
    def __call__(self, function: Any, /) -> Any: ...
