"""Agents with a scripted model: tools, structured output, guardrails, hooks, streams, sessions."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from polos import (
    Agent,
    AgentEvent,
    Client,
    DockerEnvironmentConfig,
    ExecToolConfig,
    Limits,
    NoRetry,
    RunFailed,
    RunOptions,
    SandboxToolsConfig,
    Server,
    Worker,
    WorkflowContext,
    sandbox_tools,
    tool,
    workflow,
)
from polos.server import NativeWorker


@pytest.fixture(scope="module")
def agents(server: Server) -> Iterator[Server]:
    """The server, with a native worker beside it."""
    native = NativeWorker(server.directory, server.address)
    native.begin()
    yield server
    native.stop()


@asynccontextmanager
async def serving(server: Server, *workflows: Any) -> AsyncGenerator[Client]:
    """A worker for some definitions, and a client."""
    address = server.address
    async with Client(address.url, address.token) as client:
        worker = Worker(workflows, url=address.url, token=address.token)
        running = asyncio.create_task(worker.run())
        await worker.connected()
        try:
            yield client
        finally:
            worker.drain()
            await running


def script(directory: Path, *replies: dict[str, Any]) -> str:
    file = directory / "replies.json"
    file.write_text(json.dumps({"script": "a test", "reply": list(replies)}))
    return str(file)


@tool
async def weather(city: str, days: int = 1) -> str:
    """Tells the weather of a city."""
    if city == "Nowhere":
        raise NoRetry("there is no such city")
    return f"sunny in {city} for {days} day(s)"


class Verdict(BaseModel):
    passed: bool
    why: list[str] = []


async def test_an_agent_uses_a_tool(agents: Server, tmp_path: Path) -> None:
    replies = script(
        tmp_path,
        {"turn": 0, "tools": [{"name": "weather", "input": {"city": "Zürich", "days": 2}}]},
        {"turn": 1, "seen": ["sunny in Zürich for 2 day(s)"], "text": "It will be sunny."},
    )
    agent = Agent(
        "forecaster", provider="scripted", script=replies, tools=[weather], limits=Limits(turns=5)
    )
    async with serving(agents, agent, weather) as client:
        result = await agent.run("What about Zürich?", client=client)
        assert result.output == "It will be sunny."
        run = await client.get_run(result.run_id)
        assert (run["workflow"], run["kind"]) == ("forecaster", "agent")
        names = [run["workflow"] async for run in client.list_runs(root=result.run_id)]
        assert sorted(names) == ["forecaster", "polos.agent", "weather"]


async def test_a_failing_tool_is_told_to_the_model(agents: Server, tmp_path: Path) -> None:
    replies = script(
        tmp_path,
        {"turn": 0, "tools": [{"name": "weather", "input": {"city": "Nowhere"}}]},
        {"turn": 1, "tools": [{"name": "weather", "input": {"town": "X"}}]},
        {"turn": 2, "text": "I do not know."},
    )
    agent = Agent("lost", provider="scripted", script=replies, tools=[weather])
    async with serving(agents, agent, weather) as client:
        assert (await agent.run("?", client=client)).output == "I do not know."


async def test_structured_output_and_an_agent_in_a_workflow(agents: Server, tmp_path: Path) -> None:
    replies = script(tmp_path, {"text": '{"passed": true, "why": ["tests"]}'})
    judge = Agent("judge", provider="scripted", script=replies, output_type=Verdict)

    @workflow(id="judged")
    async def judged(ctx: WorkflowContext, text: str) -> list[str]:
        first = await ctx.call(judge, text)
        second = await judge.run(text)
        assert first.output == second.output
        return [*second.output.why, str(second.output.passed)]

    async with serving(agents, judge, judged) as client:
        assert await judged.run("look", client=client) == ["tests", "True"]


async def test_a_stream_gives_what_is_said(agents: Server, tmp_path: Path) -> None:
    replies = script(tmp_path, {"text": "one two three"})
    agent = Agent("talker", provider="scripted", script=replies)
    async with serving(agents, agent) as client:
        stream = agent.stream("go", client=client)
        events: list[AgentEvent] = [event async for event in stream]
        assert "".join(event.data for event in events if event.kind == "text") == "one two three"
        assert (await stream.result()).output == "one two three"


async def test_guardrails_and_hooks(agents: Server, tmp_path: Path) -> None:
    told: list[Any] = []

    def no_secrets(text: str) -> bool:
        return "secret" not in text

    async def louder(text: str) -> str:
        return text.upper()

    replies = script(tmp_path, {"text": "hello"})
    agent = Agent(
        "guarded",
        provider="scripted",
        script=replies,
        guardrails=[no_secrets],
        output_guardrails=[louder],
        on_start=told.append,
        on_end=told.append,
    )
    async with serving(agents, agent) as client:
        assert (await agent.run("hi", client=client)).output == "HELLO"
        assert told == ["hi", "HELLO"]
        with pytest.raises(RunFailed, match="`no_secrets` stopped agent `guarded`"):
            await agent.run("a secret", client=client)


async def test_a_session_remembers(agents: Server, tmp_path: Path) -> None:
    replies = script(
        tmp_path,
        {"turn": 0, "text": "Nice to meet you."},
        {"turn": 1, "seen": ["I am Ada"], "text": "You are Ada."},
    )
    agent = Agent("friend", provider="scripted", script=replies)
    async with serving(agents, agent) as client:
        session = (await client.create_session("talk"))["id"]
        options = RunOptions(session=session)
        first = await agent.run("I am Ada", options=options, client=client)
        assert first.output == "Nice to meet you."
        second = await agent.run("Who am I?", options=options, client=client)
        assert second.output == "You are Ada."
        assert [turn["input"] for turn in await client.turns(session)] == ["I am Ada", "Who am I?"]


async def test_docker_refuses_or_works_and_says_so(agents: Server, tmp_path: Path) -> None:
    sandbox = sandbox_tools(
        SandboxToolsConfig(
            env="docker",
            docker=DockerEnvironmentConfig(
                image="node:20-slim", workspace_dir="./workspace", memory="2g"
            ),
        )
    )
    coding_agent = Agent(
        id="coding_agent",
        provider="anthropic",
        model="claude-sonnet-4-5",
        system_prompt="You are a coding assistant. The repo is at /workspace.",
        tools=sandbox,
    )
    assert coding_agent.data()["tools"] == ["exec", "read", "write", "edit", "glob", "grep"]
    assert coding_agent.data()["sandbox"]["docker"] == {
        "image": "node:20-slim",
        "workspace_dir": "./workspace",
        "memory": "2g",
    }
    replies = script(tmp_path, {"text": "nothing to do"})
    boxed = Agent("boxed", provider="scripted", script=replies, tools=sandbox)
    async with serving(agents, boxed) as client:
        with pytest.raises(RunFailed, match=r"`sandbox\.env`.*local"):
            await boxed.run("hi", client=client)


async def test_the_local_sandbox_runs_commands(agents: Server, tmp_path: Path) -> None:
    sandbox = sandbox_tools(SandboxToolsConfig(env="local", exec=ExecToolConfig(security="full")))
    replies = script(
        tmp_path,
        {
            "turn": 0,
            "tools": [{"name": "exec", "input": {"command": "echo $((6 * 7)) > it; cat it"}}],
        },
        {"turn": 1, "tools": [{"name": "read", "input": {"path": "it"}}]},
        {"turn": 2, "seen": ["42"], "text": "It is 42."},
    )
    agent = Agent("coder", provider="scripted", script=replies, tools=sandbox)
    async with serving(agents, agent) as client:
        assert (await agent.run("How much?", client=client)).output == "It is 42."


def test_what_is_no_tool_is_refused() -> None:
    with pytest.raises(TypeError, match="decorate the function with `@tool`"):
        Agent("wrong", tools=[print])  # pyright: ignore[reportArgumentType, reportCallIssue]
    with pytest.raises(TypeError, match="a model needs names"):

        @tool
        def many(*cities: str) -> str:
            return ""

        assert many
