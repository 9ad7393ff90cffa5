"""A model server on loopback that says what a script says, over either wire, and remembers what it
was asked. It refuses what the vendors' own types refuse."""

import json
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from anthropic.types.message_create_params import MessageCreateParamsStreaming
from openai.types.chat.completion_create_params import CompletionCreateParamsStreaming
from pydantic import ConfigDict, TypeAdapter, ValidationError

from brain import Brain
from wires import WIRES, ChatCompletions, Messages

# A field that the vendor does not know is a mistake of ours. (In a list, since pydantic takes no
# configuration for a bare TypedDict, but hands the list's down.)
_STRICT = ConfigDict(extra="forbid")
_TYPES: dict[str, TypeAdapter[Any]] = {
    Messages.path: TypeAdapter(list[MessageCreateParamsStreaming], config=_STRICT),
    ChatCompletions.path: TypeAdapter(list[CompletionCreateParamsStreaming], config=_STRICT),
}


def misfit(path: str, body: dict[str, Any]) -> str | None:
    """Says where a request does not fit the vendor's types."""
    try:
        _exhaust(_TYPES[path].validate_python([body]))
    except ValidationError as error:
        return str(error)
    return None


def _exhaust(value: Any) -> None:
    """Pydantic checks what a type calls an iterable only when it is read."""
    if isinstance(value, dict):
        for item in value.values():
            _exhaust(item)
    elif not isinstance(value, (str, bytes)) and hasattr(value, "__iter__"):
        for item in value:
            _exhaust(item)


@dataclass
class Fault:
    """An answer that comes instead of the model's, once."""

    status: int
    kind: str
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class Request:
    path: str
    headers: dict[str, str]
    body: dict[str, Any]
    status: int


class ModelServer:
    """Serves until it is closed. `faults` are used up in order, one a request."""

    def __init__(self, brain: Brain, faults: list[Fault] | None = None) -> None:
        self.requests: list[Request] = []
        self.faults = list(faults or [])
        self._brain = brain
        self._lock = threading.Lock()
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: Any) -> None:
                pass

            def do_POST(self) -> None:
                length = int(self.headers["content-length"])
                server._answer(self, json.loads(self.rfile.read(length)))

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._http.server_port}"
        threading.Thread(target=self._http.serve_forever, daemon=True).start()

    def __enter__(self) -> "ModelServer":
        return self

    def __exit__(self, *_: object) -> None:
        self._http.shutdown()
        self._http.server_close()

    @property
    def answered(self) -> list[Request]:
        """The calls that a model would have been paid for."""
        return [request for request in self.requests if request.status == 200]

    def _answer(self, handler: BaseHTTPRequestHandler, body: dict[str, Any]) -> None:
        path = handler.path
        wire = WIRES[path]
        with self._lock:
            fault = self.faults.pop(0) if self.faults else None
        why = misfit(path, body)
        text = ""
        if fault is None and why is not None:
            fault = Fault(400, "invalid_request_error")
        elif fault is None:
            try:
                reply = self._brain.answer(wire.asked(self._brain, body))
                text = "".join(wire.stream(body, reply))
            except LookupError as error:
                fault, why = Fault(400, "invalid_request_error"), str(error)
        status = fault.status if fault else 200
        with self._lock:
            headers = {name.lower(): value for name, value in handler.headers.items()}
            self.requests.append(Request(path, headers, body, status))
        if fault is not None:
            refusal = json.dumps(wire.error(fault.kind, why or fault.kind))
            headers = fault.headers | {"content-type": "application/json"}
            return _send(handler, status, headers, refusal)
        return _send(handler, 200, {"content-type": "text/event-stream"}, text)


def _send(handler: BaseHTTPRequestHandler, status: int, headers: dict[str, str], text: str) -> None:
    body = text.encode()
    handler.send_response(status)
    for name, value in headers.items():
        handler.send_header(name, value)
    handler.send_header("content-length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)
