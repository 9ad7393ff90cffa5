"""Agents: a model with instructions, tools and limits. An agent is data; the loop that runs it is the
native worker's (`polos dev`, `polos worker`), and each call of the model and of a tool is recorded.
Tools, guardrails and hooks are functions of this process, called from recorded steps."""

from __future__ import annotations

import asyncio
import inspect
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeAlias, TypeVar, cast, overload

from polos import ids
from polos.codec import ANY, Codec, codec_of
from polos.context import WorkflowContext
from polos.duration import Duration, milliseconds
from polos.errors import ApiError, NoRetry, TerminalError, ValueRefused
from polos.queue import Queue
from polos.run import RunOptions, RunResult, Usage
from polos.sandbox import SandboxTools
from polos.step import StepFunction, step
from polos.tool import Tool
from polos.value import Value
from polos.workflow import OnError, Workflow

if TYPE_CHECKING:
    from polos.client import Client, RunEvent, RunHandle

T = TypeVar("T")

NATIVE = "polos.agent"
"""The workflow of the native worker that runs an agent given as data."""

AgentInput: TypeAlias = "str | Mapping[str, Any]"
"""A text, `{"prompt": …}` or `{"messages": […]}`."""

AgentTool: TypeAlias = "Tool[..., Any] | Agent[Any] | SandboxTools | str"
"""What an agent may use: a tool, another agent, a sandbox's tools, `ask_user`, or a tool by name."""

Guardrail = Callable[[Any], Any]
"""Looks at an input or an output. It gives nothing or `True` to let it pass, `False` or an error to
stop the run; any other value replaces what it looked at."""

Hook = Callable[[Any], Any]
"""Is told of a beginning (with the input) or an end (with the output)."""


def ask_user() -> str:
    """The tool that asks the user a question, and waits for the answer however long it takes."""
    return "ask_user"


@dataclass(frozen=True, slots=True)
class Limits:
    """When an agent must stop. A limit that is reached fails its run with `limit_reached`."""

    turns: int | None = None
    tokens: int | None = None
    dollars: float | None = None
    time: Duration | None = None
    """Waiting for people does not count."""

    def to_json(self) -> dict[str, Any]:
        """The form in which they are sent."""
        seconds = None if self.time is None else max(milliseconds(self.time) // 1000, 1)
        fields = {
            "turns": self.turns,
            "tokens": self.tokens,
            "dollars": self.dollars,
            "seconds": seconds,
        }
        return {name: value for name, value in fields.items() if value is not None}


class _Result(Codec):
    """Reads what an agent's run gave."""

    def __init__(self, answer: Codec) -> None:
        super().__init__(ANY)
        self._answer = answer

    def decode(self, value: Value, what: str) -> RunResult[Any]:
        data: dict[str, Any] = value.data
        usage: dict[str, int] = data.get("usage") or {}
        reads = ("input_uncached", "cache_read", "cache_write_short", "cache_write_long")
        cost: int | None = data.get("cost_micros")
        if data.get("output") is None:
            answer: Any = data.get("text", "")
        else:
            answer = self._answer.decode(Value(data=data["output"]), what)
        return RunResult(
            output=answer,
            run_id=data.get("run_id", ""),
            usage=Usage(sum(usage.get(name, 0) for name in reads), usage.get("output", 0)),
            cost=None if cost is None else cost / 1_000_000,
        )


class Agent(Workflow[AgentInput, RunResult[T]], Generic[T]):
    """A model with instructions, tools and limits. `run` gives a `RunResult`; in a workflow's body,
    `ctx.call(agent, "…")` does."""

    kind = "agent"

    @overload
    def __init__(
        self: Agent[str],
        id: str,
        *,
        provider: str | None = ...,
        model: str | None = ...,
        system_prompt: str = ...,
        tools: AgentTool | Sequence[AgentTool] = ...,
        output_type: None = None,
        limits: Limits | None = ...,
        model_options: Mapping[str, Any] | None = ...,
        guardrails: Sequence[Guardrail] = ...,
        output_guardrails: Sequence[Guardrail] = ...,
        on_start: Hook | None = ...,
        on_end: Hook | None = ...,
        description: str | None = ...,
        script: str | None = ...,
        queue: Queue | str | None = ...,
        on_error: OnError | None = ...,
    ) -> None: ...
    @overload
    def __init__(
        self,
        id: str,
        *,
        provider: str | None = ...,
        model: str | None = ...,
        system_prompt: str = ...,
        tools: AgentTool | Sequence[AgentTool] = ...,
        output_type: type[T],
        limits: Limits | None = ...,
        model_options: Mapping[str, Any] | None = ...,
        guardrails: Sequence[Guardrail] = ...,
        output_guardrails: Sequence[Guardrail] = ...,
        on_start: Hook | None = ...,
        on_end: Hook | None = ...,
        description: str | None = ...,
        script: str | None = ...,
        queue: Queue | str | None = ...,
        on_error: OnError | None = ...,
    ) -> None: ...
    def __init__(
        self,
        id: str,
        *,
        provider: str | None = None,
        model: str | None = None,
        system_prompt: str = "",
        tools: AgentTool | Sequence[AgentTool] = (),
        output_type: Any = None,
        limits: Limits | None = None,
        model_options: Mapping[str, Any] | None = None,
        guardrails: Sequence[Guardrail] = (),
        output_guardrails: Sequence[Guardrail] = (),
        on_start: Hook | None = None,
        on_end: Hook | None = None,
        description: str | None = None,
        script: str | None = None,
        queue: Queue | str | None = None,
        on_error: OnError | None = None,
    ) -> None:
        """`provider` is `anthropic`, `openai` or `scripted`; what the environment has a key for if
        `None`. `script` is the file of replies of the provider `scripted`."""
        self._provider = provider
        self._model = model
        self._system = system_prompt
        self._tools = _listed(tools)
        self._output_type = output_type
        self._limits = limits or Limits()
        self._model_options = dict(model_options or {})
        self._guardrails = guardrails
        self._output_guardrails = output_guardrails
        self._on_start = on_start
        self._on_end = on_end
        self._script = script
        super().__init__(self._body, id=id, description=description, queue=queue, on_error=on_error)
        self.description = description
        self.file = sys._getframe(1).f_code.co_filename  # pyright: ignore[reportPrivateUsage]
        self.answer = codec_of(ANY if output_type is None else output_type)
        self.__dict__["input"] = codec_of(ANY)
        self.__dict__["output"] = _Result(self.answer)

    def stream(
        self,
        input: AgentInput,
        /,
        *,
        key: str | None = None,
        options: RunOptions | None = None,
        client: Client | None = None,
    ) -> AgentStream[T]:
        """Runs it, and gives what the model and the tools say as it comes:
        `async for event in agent.stream("…")`, then `await stream.result()`."""
        return AgentStream(self, input, key, options, client)

    def definition(self) -> dict[str, Any]:
        """What the server is told of it."""
        told = super().definition()
        info = {"provider": self._provider, "model": self._model, "tools": self.tool_names()}
        told["info"] = {name: value for name, value in info.items() if value is not None}
        if self._output_type is not None:
            told["output"] = self.answer.schema()
        return told

    def tool_names(self) -> list[str]:
        """The tools, as the native worker names them."""
        names: list[str] = []
        for one in self._tools:
            if isinstance(one, SandboxTools):
                names += one.names
            elif isinstance(one, Agent):
                names.append(f"agent:{one.id}")
            else:
                names.append(one if isinstance(one, str) else one.id)
        return names

    def data(self) -> dict[str, Any]:
        """The agent as the native worker takes it."""
        sandboxes = [one for one in self._tools if isinstance(one, SandboxTools)]
        if len(sandboxes) > 1:
            raise ValueRefused(f"{self.id}.tools", "an agent works in one sandbox, these are two")
        fields: dict[str, Any] = {
            "id": self.id,
            "description": self.description,
            "provider": self._provider,
            "model": self._model,
            "system": self._system or None,
            "script": self._script,
            "tools": self.tool_names(),
            "limits": self._limits.to_json(),
            "options": self._model_options,
        }
        if sandboxes:
            fields["sandbox"] = sandboxes[0].config.to_json()
        if self._output_type is not None:
            fields["output"] = inlined(self.answer.schema() or {})
        return {name: value for name, value in fields.items() if value is not None}

    def _declared(self, input: Any) -> dict[str, Any]:
        tools = [
            {
                "name": one.id,
                "description": one.description or "",
                "input_schema": one.input.schema(),
            }
            for one in self._tools
            if isinstance(one, Tool)
        ]
        return {"agent": self.data(), "tools": tools, "input": input}

    async def _body(self, ctx: WorkflowContext, input: Any) -> Any:
        input = await self._guarded(ctx, "guardrail", self._guardrails, input)
        if self._on_start is not None:
            await ctx.step("on_start", _told(self._on_start), input)
        output = await ctx.call(NATIVE, self._declared(input))
        field = "text" if output.get("output") is None else "output"
        output[field] = await self._guarded(
            ctx, "output_guardrail", self._output_guardrails, output[field]
        )
        if self._on_end is not None:
            await ctx.step("on_end", _told(self._on_end), output[field])
        return {**output, "run_id": ctx.run_id}

    async def _guarded(
        self, ctx: WorkflowContext, name: str, guards: Iterable[Guardrail], value: Any
    ) -> Any:
        for guard in guards:
            value = await ctx.step(name, _guard(guard, self.id), value)
        return value


def _listed(tools: Any) -> list[AgentTool]:
    if isinstance(tools, str | SandboxTools | Tool | Agent):
        return [cast("AgentTool", tools)]
    listed = list(tools)
    for one in listed:
        if not isinstance(one, str | SandboxTools | Tool | Agent):
            raise TypeError(
                f"`{one!r}` is not a tool: decorate the function with `@tool`, or give "
                "`sandbox_tools()`, another agent, or a name"
            )
    return listed


def _guard(guard: Guardrail, agent: str) -> StepFunction[[Any], Awaitable[Any]]:
    name = getattr(guard, "__name__", "a guardrail")

    async def look(value: Any) -> Any:
        said = guard(value)
        if inspect.isawaitable(said):
            said = await said
        if said is False:
            raise TerminalError(f"`{name}` stopped agent `{agent}`", code="guardrail")
        return value if said is None or said is True else said

    return step(retry=None)(look)


def _told(hook: Hook) -> StepFunction[[Any], Awaitable[None]]:
    async def tell(value: Any) -> None:
        said = hook(value)
        if inspect.isawaitable(said):
            await said

    return step(tell)


def inlined(schema: Mapping[str, Any]) -> dict[str, Any]:
    """A JSON Schema without references: what they name stands in their place."""
    definitions: Mapping[str, Any] = schema.get("$defs", {})

    def walk(part: Any, within: tuple[str, ...]) -> Any:
        if isinstance(part, list):
            return [walk(one, within) for one in cast("list[Any]", part)]
        if not isinstance(part, dict):
            return part
        fields = cast("dict[str, Any]", part)
        if "$ref" in fields:
            name = str(fields["$ref"]).rsplit("/", 1)[-1]
            if name in within:
                raise NoRetry(f"the output type `{name}` holds itself: a model cannot follow that")
            return walk(definitions[name], (*within, name))
        kept = {name: one for name, one in fields.items() if name != "$defs"}
        walked = {name: walk(one, within) for name, one in kept.items()}
        if walked.get("type") == "object" and "properties" in walked:
            walked.setdefault("additionalProperties", False)
        return walked

    return walk(dict(schema), ())


@dataclass(frozen=True, slots=True)
class AgentEvent:
    """A piece of what an agent says while it works."""

    kind: str
    """`text`, `thinking`, `tool_call`, `stdout`, `stderr`, or a tool's own word."""
    data: Any
    step: str
    """The key of the step it comes from."""
    attempt: int
    """A step that runs again says so by a higher number."""


class AgentStream(Generic[T]):
    """What an agent says while it works."""

    def __init__(
        self,
        agent: Agent[T],
        input: AgentInput,
        key: str | None,
        options: RunOptions | None,
        client: Client | None,
    ) -> None:
        self._agent = agent
        self._input = input
        self._key = key
        self._options = options
        self._client = client
        self._run: RunHandle[RunResult[T]] | None = None

    async def run(self) -> RunHandle[RunResult[T]]:
        """The run; it is started when it is first asked for."""
        if self._run is None:
            self._run = await self._agent.start(
                self._input, key=self._key, options=self._options, client=self._client
            )
        return self._run

    async def __aiter__(self) -> AsyncIterator[AgentEvent]:
        run = await self.run()
        child = ids.child_run(run.run_id, NATIVE)
        if not await self._opened(run):
            return
        async for event in self._events(run.client, child):
            if event.kind == "stream":
                item = event.data["item"]
                said = Value.from_wire(item["data"]).data
                yield AgentEvent(item["kind"], said, item["key"], item["attempt"])

    async def _opened(self, run: RunHandle[RunResult[T]]) -> bool:
        """Waits until the loop has begun. False if the run ended before."""
        async for event in run.events():
            record = event.data.get("record") if event.kind == "record" else None
            if record is not None and record["kind"] == "open" and record["key"] == NATIVE:
                return True
            if event.kind == "state" and event.data["state"] == "blocked":
                return False
        return False

    async def _events(self, client: Client, run: str) -> AsyncIterator[RunEvent]:
        for attempt in range(50):
            try:
                async for event in client.events(run):
                    yield event
                    if event.kind == "state" and event.data["state"] == "blocked":
                        return
                return
            except ApiError as error:
                if error.status != 404 or attempt == 49:
                    raise
                await asyncio.sleep(0.1)

    async def result(self) -> RunResult[T]:
        """Waits for the result."""
        return await (await self.run()).result()
