"""The client: everything that the server's REST interface offers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar, cast, overload

import httpx

from polos.address import Address
from polos.codec import ANY, Codec, codec_of, to_jsonable
from polos.errors import (
    ApiError,
    Failure,
    RunBlocked,
    RunCancelled,
    RunFailed,
    Unreachable,
)
from polos.run import RunOptions
from polos.value import Value, dumps
from polos.version import VERSION

if TYPE_CHECKING:
    from polos import protocol
    from polos.workflow import Workflow

I = TypeVar("I")  # noqa: E741
O = TypeVar("O")  # noqa: E741
T = TypeVar("T")

State = Literal["queued", "running", "waiting", "completed", "failed", "cancelled", "blocked"]

_WAIT_MS = 30_000
"""How long one request waits for a run's outcome."""
_RETRIES_MAX = 5
"""How often a request that may be repeated is made again."""
_RESUMES_MAX = 20
"""How often in a row a broken stream is taken up again without an event between."""


class RunHandle(Generic[O]):
    """A run, to be waited for, watched and steered."""

    def __init__(self, client: Client, run_id: str, output: Codec, existing: bool = False) -> None:
        self.client = client
        self.run_id = run_id
        self.existing = existing
        """True if the key had started it before."""
        self._output = output

    def __repr__(self) -> str:
        return f"<RunHandle {self.run_id}>"

    async def result(self, *, through_blocked: bool = False) -> O:
        """Waits for the output. Raises `RunFailed`, `RunCancelled`, or `RunBlocked` (unless
        `through_blocked`: then it waits on until a person has mended it)."""
        result = await self.client.wait(self.run_id, through_blocked=through_blocked)
        return cast(O, outcome(result, self._output))

    async def detail(self) -> protocol.RunDetail:
        """The run as it stands, without its journal."""
        return await self.client.get_run(self.run_id)

    def events(self, after: str | None = None) -> AsyncIterator[RunEvent]:
        """What happens in it, from its beginning (or after an earlier event) to its end."""
        return self.client.events(self.run_id, after)

    async def cancel(self, reason: str | None = None) -> None:
        """Cancels it; its cleanup may run."""
        await self.client.cancel(self.run_id, reason)

    async def signal(self, topic: str, payload: Any = None) -> None:
        """Sends it a signal."""
        await self.client.publish(topic, payload, to=self.run_id)


class RunEvent:
    """An event of a run: `record` (a journal record), `stream` (live output), `state`."""

    __slots__ = ("data", "id", "kind")

    def __init__(self, id: str, kind: str, data: Any) -> None:
        self.id = id
        """Give it to `events` to go on after it."""
        self.kind = kind
        self.data = data

    def __repr__(self) -> str:
        return f"<RunEvent {self.kind} {self.id}>"


def outcome(result: Mapping[str, Any], output: Codec) -> Any:
    """The output of a run that has ended, or raises what it is instead."""
    state, run_id = result["state"], result["id"]
    if state == "completed":
        return output.decode(Value(data=result.get("output")), f"the output of `{run_id}`")
    error = result.get("error")
    failure = Failure.from_json(error) if error else None
    if state == "blocked":
        raise RunBlocked(run_id, result.get("blocked") or {})
    if state == "cancelled":
        raise RunCancelled(run_id, failure)
    raise RunFailed(run_id, failure or Failure("error", "the run failed"))


class Client:
    """Talks to a server. Without arguments it finds it by `POLOS_URL` and `POLOS_TOKEN`, or by the
    data directory. Use it as an async context manager, or call `close`."""

    def __init__(self, url: str | None = None, token: str | None = None) -> None:
        self.address = Address.find(url, token)
        self._http = httpx.AsyncClient(
            base_url=self.address.url,
            headers={
                "authorization": f"Bearer {self.address.token}",
                "user-agent": f"polos-python/{VERSION}",
            },
            timeout=httpx.Timeout(60, connect=10),
        )

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Closes the connections."""
        await self._http.aclose()

    async def request(
        self,
        method: str,
        path: str,
        *,
        body: Any = None,
        text: str | None = None,
        query: Mapping[str, Any] | None = None,
        repeatable: bool | None = None,
    ) -> Any:
        """One call of the interface; errors become `ApiError`. `repeatable` calls (by default what
        only reads) are made again when the server cannot be reached."""
        content = text if text is not None else None if body is None else dumps(body)
        headers = {} if content is None else {"content-type": "application/json"}
        again = method == "GET" if repeatable is None else repeatable
        for attempt in range(_RETRIES_MAX + 1):
            try:
                response = await self._http.request(
                    method, path, content=content, headers=headers, params=_query(query)
                )
            except httpx.HTTPError as cause:
                if again and attempt < _RETRIES_MAX:
                    await asyncio.sleep(0.1 * 2**attempt)
                    continue
                raise self._unreachable(cause) from cause
            if response.status_code == 503 and again and attempt < _RETRIES_MAX:
                await asyncio.sleep(0.1 * 2**attempt)
                continue
            return _body_of(response)
        raise AssertionError("the last attempt returns or raises")

    def _unreachable(self, cause: Exception) -> Unreachable:
        return Unreachable(
            f"no answer from `{self.address.url}`: {type(cause).__name__}: {cause}",
            hint="is the server running? `polos serve` or `polos dev` starts one",
        )

    # -- runs ------------------------------------------------------------------------------------

    @overload
    async def start(
        self,
        workflow: Workflow[I, O],
        input: I,
        /,
        *,
        key: str | None = ...,
        options: RunOptions | None = ...,
        must_exist: bool = ...,
    ) -> RunHandle[O]: ...
    @overload
    async def start(
        self,
        workflow: Workflow[None, O],
        /,
        *,
        key: str | None = ...,
        options: RunOptions | None = ...,
        must_exist: bool = ...,
    ) -> RunHandle[O]: ...
    @overload
    async def start(
        self,
        workflow: str,
        input: Any = None,
        /,
        *,
        key: str | None = ...,
        options: RunOptions | None = ...,
        must_exist: bool = ...,
    ) -> RunHandle[Any]: ...
    async def start(
        self,
        workflow: Workflow[Any, Any] | str,
        input: Any = None,
        /,
        *,
        key: str | None = None,
        options: RunOptions | None = None,
        must_exist: bool = False,
    ) -> RunHandle[Any]:
        """Starts a run of a workflow, agent or tool. The same `key` with the same input is the same
        run; with another input it is refused."""
        if isinstance(workflow, str):
            name, output = workflow, codec_of(ANY)
            given = Value(data=to_jsonable(input, "the input"))
        else:
            name, output = workflow.id, workflow.output
            given = workflow.input.encode(input, f"the input of `{name}`")
        fields: dict[str, Any] = {"workflow": name, "must_exist": must_exist}
        if key is not None:
            fields["key"] = key
        if options is not None:
            fields["options"] = options.to_json()
        text = f'{dumps(fields)[:-1]},"input":{given.text}}}'
        started = await self.request("POST", "/v1/runs", text=text, repeatable=key is not None)
        return RunHandle(self, started["id"], output, started["existing"])

    def handle(self, run_id: str) -> RunHandle[Any]:
        """A handle on a run that is known by its id."""
        return RunHandle(self, run_id, codec_of(ANY))

    async def wait(self, run_id: str, *, through_blocked: bool = False) -> protocol.RunResult:
        """Waits until the run has ended or is blocked."""
        query = {"wait_ms": _WAIT_MS, "through_blocked": through_blocked or None}
        while True:
            result = await self.request("GET", f"/v1/runs/{run_id}/result", query=query)
            if result["state"] in ("completed", "failed", "cancelled"):
                return result
            if result["state"] == "blocked" and not through_blocked:
                return result

    async def get_run(self, run_id: str) -> protocol.RunDetail:
        """A run, whole but for its journal."""
        return await self.request("GET", f"/v1/runs/{run_id}")

    def list_runs(
        self,
        *,
        state: State | Iterable[State] = (),
        workflow: str | None = None,
        build: str | None = None,
        error: str | None = None,
        queue: str | None = None,
        session: str | None = None,
        parent: str | None = None,
        root: str | None = None,
        roots_only: bool = False,
        labels: Mapping[str, str] | None = None,
    ) -> AsyncIterator[protocol.RunSummary]:
        """Runs that fit, newest first."""
        query: dict[str, Any] = {
            "state": [state] if isinstance(state, str) else list(state),
            "workflow": workflow,
            "build": build,
            "error": error,
            "queue": queue,
            "session": session,
            "parent": parent,
            "root": root,
            "roots_only": roots_only or None,
            "label": [f"{name}={value}" for name, value in (labels or {}).items()],
        }
        return self._pages("/v1/runs", query)

    async def journal(self, run_id: str) -> list[protocol.JournalEntry]:
        """A run's journal, oldest first."""
        entries: list[Any] = []
        after: int | None = 0
        while after is not None:
            query = {"after": after, "limit": 500}
            page = await self.request("GET", f"/v1/runs/{run_id}/journal", query=query)
            entries += page["records"]
            after = page.get("next_after")
        return entries

    async def events(self, run_id: str, after: str | None = None) -> AsyncIterator[RunEvent]:
        """What happens in a run, from its beginning (or after an earlier event) to its end. A
        stream that breaks off is taken up again where it was."""
        resumes = 0
        while True:
            try:
                async for event in self._events_once(run_id, after):
                    after, resumes = event.id, 0
                    yield event
                    if event.kind == "state" and event.data["state"] in _ENDED:
                        return
            except httpx.HTTPError as cause:
                if resumes >= _RESUMES_MAX:
                    raise self._unreachable(cause) from cause
            resumes += 1
            await asyncio.sleep(0.3)

    async def _events_once(self, run_id: str, after: str | None) -> AsyncIterator[RunEvent]:
        headers = {"accept": "text/event-stream"} | ({"last-event-id": after} if after else {})
        timeout = httpx.Timeout(60, connect=10)
        async with self._http.stream(
            "GET", f"/v1/runs/{run_id}/events", headers=headers, timeout=timeout
        ) as response:
            if response.status_code != 200:
                await response.aread()
                _body_of(response)
            fields: dict[str, str] = {}
            async for line in _lines(response):
                if line:
                    name, _, text = line.partition(":")
                    fields[name] = text.removeprefix(" ")
                    continue
                if "data" in fields:
                    kind = fields.get("event", "")
                    data = json.loads(fields["data"])
                    yield RunEvent(fields.get("id", ""), kind, data.get(kind, data))
                fields = {}

    async def cancel(self, run_id: str, reason: str | None = None) -> protocol.VerbResponse:
        """Raises a cancellation at the next await; cleanup may run for a bounded time."""
        return await self._verb(run_id, "cancel", reason=reason)

    async def kill(self, run_id: str, reason: str | None = None) -> protocol.VerbResponse:
        """Ends a run at once, without running any of its code."""
        return await self._verb(run_id, "kill", reason=reason)

    async def resume(
        self, run_id: str, *, accept: bool = False, any_build: bool = False
    ) -> protocol.VerbResponse:
        """Goes on with a blocked or failed run, from the step that failed."""
        return await self._verb(run_id, "resume", accept=accept, any_build=any_build)

    async def retry(
        self,
        run_id: str,
        *,
        step: str | None = None,
        again: Iterable[str] = (),
        new_keys: bool = False,
    ) -> protocol.VerbResponse:
        """Does a step and all after it again. `again` names `once` steps that may act again."""
        return await self._verb(run_id, "retry", step=step, again=list(again), new_keys=new_keys)

    async def fork(
        self, run_id: str, *, at: str | None = None, input: Any = None
    ) -> protocol.VerbResponse:
        """Starts a new run with the journal up to a step."""
        return await self._verb(run_id, "fork", at=at, input=input)

    async def settle(
        self, run_id: str, step: str, *, done: Any = None, not_done: bool = False
    ) -> protocol.VerbResponse:
        """Says how a `once` step in doubt ended: done with a value, or not done."""
        said: dict[str, Any] = {"step": step, "not_done": not_done}
        if not not_done:
            said["done"] = to_jsonable(done, "done")
        return await self.request("POST", f"/v1/runs/{run_id}/settle", body=said)

    async def bulk(
        self,
        filter: protocol.RunFilter,
        verb: protocol.Verb,
        *,
        dry_run: bool = False,
        after: str | None = None,
    ) -> protocol.BulkResponse:
        """Does a verb to all runs that fit a filter."""
        body = {"filter": filter, "verb": verb, "dry_run": dry_run, "after": after}
        return await self.request("POST", "/v1/runs/bulk", body=body)

    async def _verb(self, run_id: str, verb: str, **fields: Any) -> protocol.VerbResponse:
        body = {name: value for name, value in fields.items() if value is not None}
        return await self.request("POST", f"/v1/runs/{run_id}/{verb}", body=body)

    # -- people and events -----------------------------------------------------------------------

    def list_approvals(
        self, *, state: str | None = None, run: str | None = None
    ) -> AsyncIterator[protocol.Approval]:
        """Questions to people, newest first."""
        return self._pages("/v1/approvals", {"state": state, "run": run})

    async def get_approval(self, approval_id: str) -> protocol.Approval:
        """A question to a person."""
        return await self.request("GET", f"/v1/approvals/{approval_id}")

    async def decide(
        self,
        approval_id: str,
        approved: bool,
        *,
        value: Any = None,
        feedback: str | None = None,
        scope: str | None = None,
        subject_hash: str | None = None,
    ) -> protocol.Approval:
        """Answers a question, once."""
        fields = {
            "approved": approved,
            "value": to_jsonable(value, "value"),
            "feedback": feedback,
            "scope": scope,
            "subject_hash": subject_hash,
        }
        body = {name: field for name, field in fields.items() if field is not None}
        return await self.request("POST", f"/v1/approvals/{approval_id}/decide", body=body)

    async def publish(
        self, topic: str, payload: Any = None, *, to: str | None = None, key: str | None = None
    ) -> protocol.PublishResponse:
        """Publishes an event, or sends a signal to a run. The same `key` publishes once."""
        fields = {"topic": topic, "run": to, "key": key}
        body = {name: field for name, field in fields.items() if field is not None}
        body["payload"] = to_jsonable(payload, "payload")
        return await self.request("POST", "/v1/events", body=body, repeatable=key is not None)

    # -- sessions --------------------------------------------------------------------------------

    async def create_session(
        self, title: str | None = None, metadata: Any = None
    ) -> protocol.Session:
        """Makes a conversation over many runs."""
        body = {} if title is None else {"title": title}
        return await self.request("POST", "/v1/sessions", body={**body, "metadata": metadata})

    async def get_session(self, session_id: str) -> protocol.Session:
        """A session."""
        return await self.request("GET", f"/v1/sessions/{session_id}")

    def list_sessions(self) -> AsyncIterator[protocol.Session]:
        """Sessions, latest first."""
        return self._pages("/v1/sessions", {})

    async def turns(
        self, session_id: str, *, cursor: str | None = None, limit: int | None = None
    ) -> list[protocol.Turn]:
        """A session's latest turns, oldest first."""
        query = {"cursor": cursor, "limit": limit}
        page = await self.request("GET", f"/v1/sessions/{session_id}/turns", query=query)
        return page["items"]

    # -- operation -------------------------------------------------------------------------------

    async def list_definitions(self, kind: str | None = None) -> list[protocol.DefinitionStatus]:
        """What connected workers can run."""
        return (await self.request("GET", "/v1/definitions", query={"kind": kind}))["items"]

    async def list_queues(self) -> list[protocol.QueueStatus]:
        """Queues, by name."""
        return (await self.request("GET", "/v1/queues"))["items"]

    async def set_queue(
        self,
        name: str,
        *,
        concurrency: int | None = None,
        concurrency_per_key: int | None = None,
        hold: bool = False,
    ) -> Any:
        """Sets what a queue allows."""
        fields = {"concurrency": concurrency, "concurrency_per_key": concurrency_per_key}
        body = {name: field for name, field in fields.items() if field is not None}
        body |= {"name": name, "hold": hold}
        return await self.request("PUT", f"/v1/queues/{name}", body=body, repeatable=True)

    async def pause_queue(self, name: str) -> Any:
        """Starts nothing more from a queue."""
        return await self.request("POST", f"/v1/queues/{name}/pause", repeatable=True)

    async def resume_queue(self, name: str) -> Any:
        """Starts runs from a queue again."""
        return await self.request("POST", f"/v1/queues/{name}/resume", repeatable=True)

    async def list_workers(self) -> list[protocol.WorkerStatus]:
        """Workers."""
        return (await self.request("GET", "/v1/workers"))["items"]

    async def drain_worker(self, worker_id: str) -> Any:
        """Gives a worker nothing new."""
        return await self.request("POST", f"/v1/workers/{worker_id}/drain")

    async def list_keys(self) -> list[protocol.ApiKey]:
        """API keys, without their secrets."""
        return (await self.request("GET", "/v1/keys"))["items"]

    async def create_key(self, name: str, scopes: Iterable[str]) -> Any:
        """Makes an API key, and shows its secret once."""
        return await self.request("POST", "/v1/keys", body={"name": name, "scopes": list(scopes)})

    async def revoke_key(self, key_id: str) -> Any:
        """Revokes an API key, and ends what it has open."""
        return await self.request("POST", f"/v1/keys/{key_id}/revoke")

    def audit(self) -> AsyncIterator[Any]:
        """Who decided what, newest first."""
        return self._pages("/v1/audit", {})

    async def health(self) -> protocol.Health:
        """Whether the server takes writes."""
        return await self.request("GET", "/v1/health")

    async def version(self) -> protocol.Version:
        """Which server this is, and the time."""
        return await self.request("GET", "/v1/version")

    async def _pages(self, path: str, query: Mapping[str, Any]) -> AsyncIterator[Any]:
        cursor: str | None = None
        while True:
            page = await self.request("GET", path, query={**query, "cursor": cursor})
            for item in page["items"]:
                yield item
            cursor = page.get("next_cursor")
            if cursor is None:
                return


_LINE_BYTES_MAX = 4 << 20
"""The longest line of a stream of events that is taken."""
_ENDED = ("completed", "failed", "cancelled")


async def _lines(response: httpx.Response) -> AsyncIterator[str]:
    """The lines of a stream of events: cut at line feeds alone, since JSON may hold what other
    splitters take for the end of a line."""
    rest = b""
    async for piece in response.aiter_bytes():
        *lines, rest = (rest + piece).split(b"\n")
        if len(rest) > _LINE_BYTES_MAX:
            raise httpx.DecodingError("a line of the stream of events is too long")
        for line in lines:
            yield line.removesuffix(b"\r").decode()


def _query(query: Mapping[str, Any] | None) -> httpx.QueryParams:
    pairs: list[tuple[str, str | int | float | bool | None]] = []
    for name, value in (query or {}).items():
        values: list[Any] = cast("list[Any]", value) if isinstance(value, list) else [value]
        for one in values:
            if one is not None:
                pairs.append((name, str(one).lower() if isinstance(one, bool) else str(one)))
    return httpx.QueryParams(pairs)


def _body_of(response: httpx.Response) -> Any:
    if response.is_success:
        return json.loads(response.content) if response.content else None
    try:
        error = json.loads(response.content)["error"]
        code, message = error["code"], error["message"]
        raise ApiError(
            response.status_code, code, message, error.get("hint", ""), error.get("details")
        )
    except (ValueError, KeyError, TypeError):
        text = response.text[:300] or response.reason_phrase
        raise ApiError(response.status_code, "error", text, "", None) from None
