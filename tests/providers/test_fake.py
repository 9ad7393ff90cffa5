"""The fake is judged by the vendors' own clients: what they read is what the script says."""

import json

import anthropic
import openai
import pytest

from brain import Brain
from model_server import Fault, ModelServer

SCRIPT = {
    "reply": [
        {
            "turn": 0,
            "text": "Let me look: ☔.",
            "tools": [
                {"name": "read", "input": {"path": "a.txt"}},
                {"name": "exec", "input": {"command": "true"}},
            ],
        },
        {"turn": 1, "text": "Done."},
    ]
}
SCHEMA = {"type": "object", "properties": {}}


def test_the_vendors_messages_client_reads_it() -> None:
    with ModelServer(Brain(SCRIPT)) as server:
        client = anthropic.Anthropic(base_url=server.url, api_key="k", max_retries=0)
        with client.messages.stream(
            model="some-model",
            max_tokens=100,
            messages=[{"role": "user", "content": "hello"}],
            tools=[{"name": "read", "input_schema": SCHEMA}],
        ) as stream:
            message = stream.get_final_message()
    assert message.stop_reason == "tool_use"
    kinds = [block.type for block in message.content]
    assert kinds == ["text", "tool_use", "tool_use"]
    text, read, run = message.content
    assert text.text == "Let me look: ☔."
    assert (read.name, read.input) == ("read", {"path": "a.txt"})
    assert (run.name, run.input) == ("exec", {"command": "true"})
    assert message.usage.output_tokens > 1


def test_the_vendors_chat_client_reads_it() -> None:
    with ModelServer(Brain(SCRIPT)) as server:
        client = openai.OpenAI(base_url=f"{server.url}/v1", api_key="k", max_retries=0)
        with client.chat.completions.stream(
            model="some-model",
            messages=[{"role": "user", "content": "hello"}],
            stream_options={"include_usage": True},
        ) as stream:
            for _ in stream:
                pass
            completion = stream.get_final_completion()
    choice = completion.choices[0]
    assert choice.finish_reason == "tool_calls"
    assert choice.message.content == "Let me look: ☔."
    calls = [(c.function.name, json.loads(c.function.arguments)) for c in choice.message.tool_calls]
    assert calls == [("read", {"path": "a.txt"}), ("exec", {"command": "true"})]
    assert completion.usage.total_tokens > 0


@pytest.mark.parametrize("vendor", [anthropic, openai])
def test_its_refusals_are_the_vendors_own(vendor) -> None:
    faults = [Fault(429, "rate_limit_error", {"retry-after": "1"})]
    with ModelServer(Brain(SCRIPT), faults) as server, pytest.raises(vendor.RateLimitError):
        if vendor is anthropic:
            client = anthropic.Anthropic(base_url=server.url, api_key="k", max_retries=0)
            client.messages.create(
                model="m", max_tokens=1, messages=[{"role": "user", "content": "x"}]
            )
        else:
            chat = openai.OpenAI(base_url=f"{server.url}/v1", api_key="k", max_retries=0)
            chat.chat.completions.create(model="m", messages=[{"role": "user", "content": "x"}])


def test_it_refuses_what_the_vendors_types_refuse() -> None:
    with ModelServer(Brain(SCRIPT)) as server:
        client = anthropic.Anthropic(base_url=server.url, api_key="k", max_retries=0)
        good = {"role": "user", "content": "x"}
        for wrong in ({"role": "usr", "content": "x"}, good | {"colour": "red"}):
            with pytest.raises(anthropic.BadRequestError):
                client.messages.create(model="m", max_tokens=1, messages=[wrong], stream=True)
