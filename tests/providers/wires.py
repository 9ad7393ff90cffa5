"""The two wires: how a request is read, and how a reply is streamed.

Anthropic Messages and OpenAI Chat Completions, after the vendors' Python packages, which check both
sides: their types every request, their clients every stream (test_fake.py).
"""

import json
from collections.abc import Iterator
from typing import Any

from brain import Asked, Brain, Reply

# A model's words come in pieces of this many characters; arguments too, cut anywhere.
PIECE_CHARS = 7


def _pieces(text: str) -> Iterator[str]:
    for start in range(0, len(text), PIECE_CHARS):
        yield text[start : start + PIECE_CHARS]


def _text_of(content: Any) -> str:
    """All text in a message's content, tool results included."""
    if isinstance(content, str):
        return content
    parts = []
    for block in content or []:
        parts.append(block.get("text") or _text_of(block.get("content")))
    return "\n".join(part for part in parts if part)


def _asked(brain: Brain, system: str, turns: int, users: list[str]) -> Asked:
    return Asked(brain.agent_of(system), turns, users[-1] if users else "", "\n".join(users))


class Messages:
    """Anthropic Messages."""

    path = "/v1/messages"

    @staticmethod
    def asked(brain: Brain, body: dict[str, Any]) -> Asked:
        messages = body["messages"]
        users = [_text_of(m["content"]) for m in messages if m["role"] == "user"]
        turns = sum(m["role"] == "assistant" for m in messages)
        return _asked(brain, _text_of(body.get("system")), turns, users)

    @staticmethod
    def stream(body: dict[str, Any], reply: Reply) -> Iterator[str]:
        def event(data: dict[str, Any]) -> str:
            return f"event: {data['type']}\ndata: {json.dumps(data)}\n\n"

        words = len(json.dumps(body)) // 4
        usage = {"input_tokens": words, "output_tokens": 1, "cache_read_input_tokens": 0}
        message = {
            "id": f"msg_{len(body['messages'])}",
            "type": "message",
            "role": "assistant",
            "model": body["model"],
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": usage | {"cache_creation_input_tokens": 0},
        }
        yield event({"type": "message_start", "message": message})
        yield event({"type": "ping"})
        blocks: list[tuple[dict[str, Any], list[dict[str, Any]]]] = []
        if reply.text:
            deltas = [{"type": "text_delta", "text": text} for text in _pieces(reply.text)]
            blocks.append(({"type": "text", "text": ""}, deltas))
        for number, call in enumerate(reply.tools):
            start = {"type": "tool_use", "id": f"toolu_{len(body['messages'])}_{number}"}
            pieces = ["", *_pieces(json.dumps(call["input"]))]
            deltas = [{"type": "input_json_delta", "partial_json": text} for text in pieces]
            blocks.append((start | {"name": call["name"], "input": {}}, deltas))
        for index, (block, deltas) in enumerate(blocks):
            yield event({"type": "content_block_start", "index": index, "content_block": block})
            for delta in deltas:
                yield event({"type": "content_block_delta", "index": index, "delta": delta})
            yield event({"type": "content_block_stop", "index": index})
        stop = "tool_use" if reply.tools else "end_turn"
        yield event(
            {
                "type": "message_delta",
                "delta": {"stop_reason": stop, "stop_sequence": None},
                "usage": {"output_tokens": 1 + len(reply.text) // 4},
            }
        )
        yield event({"type": "message_stop"})

    @staticmethod
    def error(kind: str, message: str) -> dict[str, Any]:
        return {"type": "error", "error": {"type": kind, "message": message}}


class ChatCompletions:
    """OpenAI Chat Completions."""

    path = "/v1/chat/completions"

    @staticmethod
    def asked(brain: Brain, body: dict[str, Any]) -> Asked:
        messages = body["messages"]
        system = "\n".join(
            _text_of(m["content"]) for m in messages if m["role"] in ("system", "developer")
        )
        # What follows one turn of the model is one turn of the user, tool results and all.
        users: list[str] = []
        after_assistant = True
        for m in messages:
            if m["role"] == "assistant":
                after_assistant = True
            elif m["role"] in ("user", "tool"):
                text = _text_of(m["content"])
                users = [*users, text] if after_assistant else [*users[:-1], f"{users[-1]}\n{text}"]
                after_assistant = False
        turns = sum(m["role"] == "assistant" for m in messages)
        return _asked(brain, system, turns, users)

    @staticmethod
    def stream(body: dict[str, Any], reply: Reply) -> Iterator[str]:
        def chunk(delta: dict[str, Any], finish: str | None = None, **more: Any) -> str:
            data = {
                "id": f"chatcmpl-{len(body['messages'])}",
                "object": "chat.completion.chunk",
                "created": 1,
                "model": body["model"],
                "choices": [{"index": 0, "delta": delta, "finish_reason": finish}],
            }
            return f"data: {json.dumps(data | more)}\n\n"

        yield chunk({"role": "assistant", "content": ""})
        for text in _pieces(reply.text):
            yield chunk({"content": text})
        for index, call in enumerate(reply.tools):
            first = {"id": f"call_{len(body['messages'])}_{index}", "type": "function"}
            function = {"name": call["name"], "arguments": ""}
            yield chunk({"tool_calls": [{"index": index, **first, "function": function}]})
            for text in _pieces(json.dumps(call["input"])):
                yield chunk({"tool_calls": [{"index": index, "function": {"arguments": text}}]})
        yield chunk({}, "tool_calls" if reply.tools else "stop")
        if (body.get("stream_options") or {}).get("include_usage"):
            words, said = len(json.dumps(body)) // 4, 1 + len(reply.text) // 4
            usage = {"prompt_tokens": words, "completion_tokens": said}
            yield chunk({}, choices=[], usage=usage | {"total_tokens": words + said})
        yield "data: [DONE]\n\n"

    @staticmethod
    def error(kind: str, message: str) -> dict[str, Any]:
        return {"error": {"type": kind, "code": kind, "message": message, "param": None}}


WIRES = {wire.path: wire for wire in (Messages, ChatCompletions)}
