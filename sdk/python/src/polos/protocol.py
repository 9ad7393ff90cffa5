"""The types of what REST and the worker socket say. Generated from docs/reference by
scripts/generate_protocol.py: do not edit."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

from typing_extensions import NotRequired, TypedDict


class Answer(TypedDict):
    """The value with which an approval resolves."""

    approval: ApprovalId
    approved: bool
    at: int
    by: str
    feedback: NotRequired[str | None]
    scope: NotRequired[str | None]
    value: NotRequired[Any]


class ApiKey(TypedDict):
    """A key without its secret."""

    created_ms: int
    id: ApiKeyId
    name: str
    namespace: Namespace
    revoked_ms: NotRequired[int | None]
    scopes: list[Scope]


ApiKeyId: TypeAlias = "str"


class Append(TypedDict):
    """Records that the worker does not have, in order and without a gap after what it has (superseded ones left out). A record with an `n` of this assignment acknowledges that record."""

    assignment: int
    more: NotRequired[bool]
    records: list[Record]
    run: RunId
    seq: int


class Approval(TypedDict):
    """A question to a person."""

    answer: NotRequired[Answer | None]
    assignees: NotRequired[list[str]]
    created_ms: int
    deadline_ms: NotRequired[int | None]
    form: NotRequired[Any]
    id: ApprovalId
    key: StepKey
    kind: NotRequired[ApprovalKind]
    run: RunId
    scopes: NotRequired[list[str]]
    state: ApprovalState
    subject: NotRequired[Any]
    subject_hash: NotRequired[str | None]
    title: str
    workflow: str


ApprovalId: TypeAlias = "str"


ApprovalKind: TypeAlias = "Literal['approval'] | Literal['answer'] | Literal['settle']"
"""What sort of question an approval is."""


ApprovalState: TypeAlias = "Literal['pending'] | Literal['approved'] | Literal['rejected'] | Literal['expired'] | Literal['withdrawn']"
"""Where an approval stands. Persisted by name."""


class AttemptDetail(TypedDict):
    """What a [`Kind::Attempt`] record adds; the attempt's error stands in the record."""

    attempt: int
    message: NotRequired[str | None]
    next_ms: int


class AuditEntry(TypedDict):
    """A decision of a person or program. `GET /v1/audit`"""

    action: str
    at: int
    detail: NotRequired[Any]
    principal: str
    target: str


class Blob(TypedDict):
    """A value that was asked for."""

    hash: str
    offset: int
    size: int
    text: str


class BlobRef(TypedDict):
    """Bytes that are elsewhere."""

    hash: str
    size: int


class BlockRequest(TypedDict):
    """A run that needs a person."""

    assignment: int
    blocked: Blocked
    n: int
    run: RunId


class Blocked(TypedDict):
    """Why a run needs a person."""

    code: str
    difference: NotRequired[Difference | None]
    failure: NotRequired[Failure | None]
    hint: str
    message: str
    since: NotRequired[int]
    step: NotRequired[str | None]


class BulkRefusal(TypedDict):
    """A run that refused a bulk verb."""

    error: ErrorBody
    id: RunId


class BulkRequest(TypedDict):
    """`POST /v1/runs/bulk`: a verb for all runs that fit a filter."""

    after: NotRequired[RunId | None]
    dry_run: NotRequired[bool]
    filter: RunFilter
    verb: Verb


class BulkResponse(TypedDict):
    """The answer to a bulk verb."""

    done: int
    last: NotRequired[RunId | None]
    more: bool
    refused: list[BulkRefusal]


class BusyRequest(TypedDict):
    """A step that takes long."""

    assignment: int
    for_ms: int
    run: RunId


class CancelRequest(TypedDict):
    """The body of a cancel or kill."""

    reason: NotRequired[str | None]


class CompleteRequest(TypedDict):
    """A run that has ended well."""

    assignment: int
    n: int
    run: RunId
    value: Value


class DecideRequest(TypedDict):
    """`POST /v1/approvals/{id}/decide`"""

    approved: bool
    feedback: NotRequired[str | None]
    scope: NotRequired[str | None]
    subject_hash: NotRequired[str | None]
    value: NotRequired[Any]


class Definition(TypedDict):
    """A workflow, agent or tool that a worker has registered."""

    description: NotRequired[str | None]
    info: NotRequired[Any]
    input: NotRequired[Any]
    kind: NotRequired[DefinitionKind]
    name: str
    on_error: NotRequired[OnError | None]
    output: NotRequired[Any]
    queue: NotRequired[str | None]
    step_timeout_ms: NotRequired[int | None]


DefinitionKind: TypeAlias = "Literal['workflow'] | Literal['agent'] | Literal['tool']"
"""What a definition is."""


class DefinitionStatus(TypedDict):
    """A workflow, agent or tool, and who can run it."""

    builds: list[str]
    description: NotRequired[str | None]
    info: NotRequired[Any]
    input: NotRequired[Any]
    kind: NotRequired[DefinitionKind]
    name: str
    on_error: NotRequired[OnError | None]
    output: NotRequired[Any]
    queue: NotRequired[str | None]
    step_timeout_ms: NotRequired[int | None]
    workers: int


class Difference(TypedDict):
    """The two sides of a disagreement between code and journal, as a person reads them."""

    asked: list[str]
    recorded: list[str]


Effect: TypeAlias = "Literal['repeatable'] | Literal['once']"
"""Whether a step's effect may happen again when nobody knows if it did."""


class EmitDetail(TypedDict):
    """What a [`Kind::Emit`] record adds; the payload is the record's value."""

    run: NotRequired[RunId | None]
    topic: str


Empty: TypeAlias = "dict[str, Any]"
"""A body without fields."""


class ErrorBody(TypedDict):
    """What went wrong and how to mend it."""

    code: str
    details: NotRequired[Any]
    hint: NotRequired[str]
    message: str


class ErrorResponse(TypedDict):
    """The body of every answer that is not a success."""

    error: ErrorBody


EventId: TypeAlias = "str"


class EventValue(TypedDict):
    """The value with which a wait on a topic resolves."""

    at: int
    id: EventId
    payload: Value
    position: int


class FailRequest(TypedDict):
    """A run whose code raised."""

    assignment: int
    error: Failure
    n: int
    run: RunId
    step: NotRequired[StepKey | None]


class Failure(TypedDict):
    """An error as recorded: what the code raised, or what the engine says instead of a result."""

    cause: NotRequired[Failure | None]
    code: str
    details: NotRequired[Any]
    kind: NotRequired[str | None]
    message: str
    terminal: NotRequired[bool]


class Fatal(TypedDict):
    """The last frame of a connection that went wrong."""

    code: str
    hint: NotRequired[str]
    message: str


class FetchRequest(TypedDict):
    """A request for a value kept by reference."""

    hash: str
    run: RunId


Finding: TypeAlias = "dict[str, Any]"
"""What a dry replay has found."""


class ForkRequest(TypedDict):
    """The body of a fork."""

    at: NotRequired[StepKey | None]
    input: NotRequired[Any]


class Health(TypedDict):
    """`GET /v1/health`: needs no key."""

    message: NotRequired[str | None]
    status: str


class Held(TypedDict):
    """A run that a worker still has in memory."""

    assignment: int
    run: RunId
    seq: int
    wait: NotRequired[Wait | None]


class Hello(TypedDict):
    """The first frame of a connection."""

    build: str
    connection: int
    definitions: list[Definition]
    features: NotRequired[list[str]]
    held: NotRequired[list[Held]]
    host: Host
    kinds: NotRequired[list[Kind]]
    name: str
    pages: NotRequired[int]
    placements: NotRequired[list[str]]
    protocol: list[int]
    queues: NotRequired[list[QueueConfig]]
    sdk: str
    slots: int
    worker: WorkerId


class Host(TypedDict):
    """Where a worker runs, so that a server on the same machine can see its process end."""

    boot: NotRequired[str]
    name: str
    pid: NotRequired[int]
    pid_namespace: NotRequired[str]
    pid_start: NotRequired[int]


class IntentDetail(TypedDict):
    """What a [`Kind::Intent`] record adds."""

    has_verify: NotRequired[bool]
    idempotency_key: str
    label: NotRequired[str | None]
    timeout_ms: int


class JournalEntry(TypedDict):
    """A record, and whether a later reset took it back."""

    record: Record
    superseded: NotRequired[bool]


class JournalPage(TypedDict):
    """A page of a journal, oldest first. `GET /v1/runs/{id}/journal?after=SEQ&limit=N`"""

    next_after: NotRequired[int | None]
    records: list[JournalEntry]
    run: RunId


class Kept(TypedDict):
    """A held run that stays with its worker."""

    assignment: int
    n: int
    run: RunId
    seq: int


class KeyRequest(TypedDict):
    """`POST /v1/keys`"""

    name: str
    namespace: NotRequired[Namespace]
    scopes: NotRequired[list[Scope]]


class KeyResponse(TypedDict):
    """The answer to making a key: the only time the secret is shown."""

    created_ms: int
    id: ApiKeyId
    name: str
    namespace: Namespace
    revoked_ms: NotRequired[int | None]
    scopes: list[Scope]
    secret: str


Kind: TypeAlias = "Literal['step'] | Literal['intent'] | Literal['attempt'] | Literal['open'] | Literal['resolved'] | Literal['emit'] | Literal['lost'] | Literal['marker'] | Literal['cancel'] | Literal['reset'] | Literal['verb']"
"""What a record is about. Persisted by name; a name never changes its meaning. A worker that does not list a kind in its `hello` is not sent a run whose journal holds it."""


class Lost(TypedDict):
    """An assignment whose process is not known to be gone."""

    assignment: int
    lease_end_ms: int


Marker: TypeAlias = "dict[str, Any] | Literal['cleanup']"
"""What a [`Kind::Marker`] record says."""


class MoreRequest(TypedDict):
    """The answer to each page after which more is to come, and so the credit for another one."""

    assignment: int
    run: RunId
    seq: int


Namespace: TypeAlias = "str"
"""A namespace's name: 1 to 64 of `a-z`, `0-9`, `-` and `_`, beginning with a letter or digit."""


class NewRecord(TypedDict):
    """A record as a worker asks for it."""

    after: int
    attempt: NotRequired[int]
    detail: NotRequired[Any]
    ended_ms: NotRequired[int | None]
    error: NotRequired[Failure | None]
    fingerprint: NotRequired[str | None]
    key: StepKey
    kind: Kind
    n: int
    requested_ms: NotRequired[int | None]
    started_ms: NotRequired[int | None]
    traceparent: NotRequired[str | None]
    value: NotRequired[Value | None]
    version: NotRequired[int]


OnError: TypeAlias = "Literal['block'] | Literal['fail']"
"""What happens when an error leaves the code uncaught. By default a root run blocks and a child fails."""


Open: TypeAlias = "dict[str, Any]"
"""What a [`Kind::Open`] record asks for."""


class OpenApproval(TypedDict):
    """A question to a person."""

    assignees: NotRequired[list[str]]
    deadline_ms: NotRequired[int | None]
    form: NotRequired[Any]
    kind: NotRequired[ApprovalKind]
    scopes: NotRequired[list[str]]
    subject: NotRequired[Any]
    subject_hash: NotRequired[str | None]
    title: str


class OpenChild(TypedDict):
    """A child to start. Its run id derives from the parent's id and the record's key."""

    detached: NotRequired[bool]
    input: Value
    options: NotRequired[RunOptions]
    workflow: str


class OpenEvent(TypedDict):
    """A wait on a topic."""

    deadline_ms: NotRequired[int | None]
    signal: NotRequired[bool]
    topic: str


class Page(TypedDict):
    """A page of a list."""

    items: list[RunSummary]
    next_cursor: NotRequired[str | None]


class Page2(TypedDict):
    """A page of a list."""

    items: list[Approval]
    next_cursor: NotRequired[str | None]


class Page3(TypedDict):
    """A page of a list."""

    items: list[QueueStatus]
    next_cursor: NotRequired[str | None]


class Page4(TypedDict):
    """A page of a list."""

    items: list[WorkerStatus]
    next_cursor: NotRequired[str | None]


class Page5(TypedDict):
    """A page of a list."""

    items: list[DefinitionStatus]
    next_cursor: NotRequired[str | None]


class Page6(TypedDict):
    """A page of a list."""

    items: list[Session]
    next_cursor: NotRequired[str | None]


class Page7(TypedDict):
    """A page of a list."""

    items: list[Turn]
    next_cursor: NotRequired[str | None]


class Page8(TypedDict):
    """A page of a list."""

    items: list[ApiKey]
    next_cursor: NotRequired[str | None]


class Page9(TypedDict):
    """A page of a list."""

    items: list[AuditEntry]
    next_cursor: NotRequired[str | None]


class ParkRequest(TypedDict):
    """A run to be parked. Refused by silence if the journal has moved on: then records are on their way to the worker."""

    assignment: int
    n: int
    run: RunId
    seq: int
    wait: Wait


class Placement(TypedDict):
    """What must be near a run: the worker that holds a key (a sandbox). Children inherit it."""

    key: str
    require: NotRequired[bool]


class Previous(TypedDict):
    """How the last assignment ended, with all before it that may still be acting."""

    dead: bool
    lease_end_ms: int


class PublishRequest(TypedDict):
    """`POST /v1/events`"""

    key: NotRequired[str | None]
    payload: NotRequired[Any]
    run: NotRequired[RunId | None]
    topic: str


class PublishResponse(TypedDict):
    """The answer to a publish."""

    at: int
    existing: bool
    id: EventId
    position: int


class QueueConfig(TypedDict):
    """A queue: how many runs may go at once, in all and per concurrency key."""

    concurrency: NotRequired[int | None]
    concurrency_per_key: NotRequired[int | None]
    hold: NotRequired[bool]
    name: str
    paused: NotRequired[bool]


class QueueRequest(TypedDict):
    """`PUT /v1/queues/{name}`: absent limits mean no limit."""

    concurrency: NotRequired[int | None]
    concurrency_per_key: NotRequired[int | None]
    hold: NotRequired[bool]


class QueueStatus(TypedDict):
    """A queue and how it stands."""

    concurrency: NotRequired[int | None]
    concurrency_per_key: NotRequired[int | None]
    hold: NotRequired[bool]
    name: str
    paused: NotRequired[bool]
    queued: int
    running: int


class Record(TypedDict):
    """A record as the journal holds it."""

    assignment: NotRequired[int]
    at: int
    build: NotRequired[str | None]
    record: NewRecord
    seq: int
    worker: NotRequired[WorkerId | None]


class RecordRequest(TypedDict):
    """Records of any number of runs."""

    runs: list[RunRecords]


class Recorded(TypedDict):
    """Records of the worker's that are durable."""

    at: int
    runs: list[list[RunId | int]]


class Replayed(TypedDict):
    """How a dry replay of a run ended."""

    build: str
    finding: Finding
    notes: NotRequired[list[str]]
    run: RunId


class ResetDetail(TypedDict):
    """What a [`Kind::Reset`] record adds: records from `from_seq` up to this one are superseded."""

    again: NotRequired[list[StepKey]]
    by: str
    from_key: StepKey
    from_seq: int
    key_generation: NotRequired[int]
    only: NotRequired[bool]


class ResolvedDetail(TypedDict):
    """What a [`Kind::Resolved`] record adds."""

    by: str
    position: NotRequired[int | None]
    topic: NotRequired[str | None]


class ResumeRequest(TypedDict):
    """The body of a resume."""

    accept: NotRequired[bool]
    any_build: NotRequired[bool]


class RetryRequest(TypedDict):
    """The body of a retry."""

    again: NotRequired[list[StepKey]]
    new_keys: NotRequired[bool]
    step: NotRequired[StepKey | None]


class Revoked(TypedDict):
    """A run that is the worker's no more."""

    assignment: int
    code: str
    message: str
    run: RunId


class RunDetail(TypedDict):
    """A run, whole but for its journal."""

    assignment: int
    blocked: NotRequired[Blocked | None]
    build: NotRequired[str | None]
    cancel_requested: bool
    created_ms: int
    depth: int
    ended_ms: NotRequired[int | None]
    error: NotRequired[Failure | None]
    forked_from: NotRequired[RunId | None]
    id: RunId
    input: Any
    journal_bytes: int
    kind: DefinitionKind
    namespace: Namespace
    options: RunOptions
    output: NotRequired[Any]
    parent: NotRequired[RunId | None]
    parent_key: NotRequired[str | None]
    principal: str
    queue: str
    root: RunId
    seq: int
    start_key: NotRequired[str | None]
    started_ms: NotRequired[int | None]
    state: State
    wait: NotRequired[Wait | None]
    why: str
    worker: NotRequired[WorkerId | None]
    workflow: str


RunEvent: TypeAlias = "dict[str, Any]"
"""An event of `GET /v1/runs/{id}/events` (SSE). The SSE `id` is `SEQ.POSITION`: give it back in `Last-Event-ID` to go on after it. The SSE `event` is the name of the variant."""


class RunFilter(TypedDict):
    """Which runs a list shows or a verb takes; what is absent does not filter."""

    build: NotRequired[str | None]
    created_from_ms: NotRequired[int | None]
    created_to_ms: NotRequired[int | None]
    error: NotRequired[str | None]
    labels: NotRequired[dict[str, str]]
    parent: NotRequired[RunId | None]
    queue: NotRequired[str | None]
    root: NotRequired[RunId | None]
    roots_only: NotRequired[bool]
    session: NotRequired[SessionId | None]
    state: NotRequired[list[State]]
    workflow: NotRequired[str | None]


RunId: TypeAlias = "str"


class RunOptions(TypedDict):
    """How a run is to run, from whoever starts it."""

    concurrency_key: NotRequired[str | None]
    deadline_ms: NotRequired[int | None]
    labels: NotRequired[dict[str, str]]
    pin: NotRequired[bool]
    placement: NotRequired[Placement | None]
    priority: NotRequired[int]
    queue: NotRequired[str | None]
    session: NotRequired[SessionId | None]
    timeout_ms: NotRequired[int | None]
    traceparent: NotRequired[str | None]


class RunRecords(TypedDict):
    """Records of one run, in the worker's order."""

    assignment: int
    records: list[NewRecord]
    run: RunId


class RunRef(TypedDict):
    """A run and the assignment under which the worker has it: the fence on every frame."""

    assignment: int
    run: RunId


class RunResult(TypedDict):
    """The outcome of a run, for whoever waits for it."""

    blocked: NotRequired[Blocked | None]
    error: NotRequired[Failure | None]
    id: RunId
    output: NotRequired[Any]
    state: State


class RunSummary(TypedDict):
    """A run in a list."""

    build: NotRequired[str | None]
    created_ms: int
    ended_ms: NotRequired[int | None]
    id: RunId
    kind: DefinitionKind
    namespace: Namespace
    parent: NotRequired[RunId | None]
    queue: str
    root: RunId
    started_ms: NotRequired[int | None]
    state: State
    why: str
    workflow: str


Scope: TypeAlias = (
    "Literal['read'] | Literal['write'] | Literal['approve'] | Literal['worker'] | Literal['admin']"
)
"""What a key may do. Persisted by name."""


class Session(TypedDict):
    """A session."""

    created_ms: int
    id: SessionId
    metadata: NotRequired[Any]
    title: NotRequired[str | None]
    updated_ms: int


SessionId: TypeAlias = "str"


class SessionRequest(TypedDict):
    """`POST /v1/sessions`"""

    metadata: NotRequired[Any]
    title: NotRequired[str | None]


class SettleRequest(TypedDict):
    """The body of a settle."""

    done: NotRequired[Any]
    not_done: NotRequired[bool]
    step: StepKey


class Settled(TypedDict):
    """A person's word on a step in doubt."""

    by: str
    done: NotRequired[Value | None]
    key: StepKey


class Start(TypedDict):
    """A run for a worker."""

    accepted: NotRequired[list[StepKey]]
    alone: NotRequired[bool]
    assignment: int
    build: NotRequired[str | None]
    created_ms: int
    depth: NotRequired[int]
    input: Value
    journal: list[Record]
    key_generation: NotRequired[int]
    kind: DefinitionKind
    lost: NotRequired[list[Lost]]
    now: int
    options: NotRequired[RunOptions]
    parent: NotRequired[RunId | None]
    previous: NotRequired[Previous | None]
    principal: str
    root: RunId
    run: RunId
    seed: str
    seq: int
    settled: NotRequired[list[Settled]]
    workflow: str


class StartRequest(TypedDict):
    """`POST /v1/runs`"""

    input: NotRequired[Any]
    key: NotRequired[str | None]
    must_exist: NotRequired[bool]
    options: NotRequired[RunOptions]
    workflow: str


class StartResponse(TypedDict):
    """The answer to a start."""

    existing: bool
    id: RunId
    state: State


State: TypeAlias = "Literal['queued'] | Literal['running'] | Literal['waiting'] | Literal['completed'] | Literal['failed'] | Literal['cancelled'] | Literal['blocked']"
"""The states of a run. Persisted by name."""


class StateEvent(TypedDict):
    """Where a run stands."""

    state: State
    why: str


class StepDetail(TypedDict):
    """What a [`Kind::Step`] record adds."""

    cost_micros: NotRequired[int | None]
    effect: NotRequired[Effect]
    inserted: NotRequired[bool]
    label: NotRequired[str | None]
    last_attempts: NotRequired[list[AttemptDetail]]
    settled_by: NotRequired[str | None]
    tokens: NotRequired[list[int] | None]


StepKey: TypeAlias = "str"
"""A step's key within its run. Persisted and sent as text."""


class StoreRequest(TypedDict):
    """Bytes to be kept by reference, in pieces below the frame's limit."""

    hash: str
    offset: int
    run: RunId
    size: int
    text: str


class Stored(TypedDict):
    """A value that is kept."""

    hash: str


class StreamEvent(TypedDict):
    """Live output of a step."""

    at: int
    item: StreamItem
    position: int


class StreamItem(TypedDict):
    """One piece of live output."""

    attempt: int
    data: Value
    key: StepKey
    kind: str


class StreamRequest(TypedDict):
    """Live output of one run."""

    assignment: int
    items: list[StreamItem]
    run: RunId


class Turn(TypedDict):
    """One run of a session as its history tells it, oldest first. `GET /v1/sessions/{id}/turns`"""

    created_ms: int
    error: NotRequired[Failure | None]
    input: Any
    output: NotRequired[Any]
    run: RunId
    state: State
    workflow: str


class Value(TypedDict):
    """A value as persisted and sent: `{"v": …}` inline, or `{"ref": {…}}` by reference. `codec` is absent for plain JSON; any other codec is a user's own, which the server never opens."""

    codec: NotRequired[str | None]
    ref: NotRequired[BlobRef | None]
    v: NotRequired[Any]


Verb: TypeAlias = "dict[str, Any]"
"""What an operator orders. `POST /v1/runs/{id}/cancel` and so on take the fields of their verb; `POST /v1/runs/bulk` takes a [`BulkRequest`]."""


class VerbDetail(TypedDict):
    """What a [`Kind::Verb`] record adds."""

    by: str
    note: NotRequired[str | None]
    verb: str


class VerbResponse(TypedDict):
    """The answer to a verb."""

    id: RunId
    message: str
    state: State


class Version(TypedDict):
    """`GET /v1/version`"""

    incarnation: int
    namespace: Namespace
    now: int
    protocol: list[int]
    schema: int
    version: str


Wait: TypeAlias = "dict[str, Any]"
"""What a run waits for. The leaves name opened waits (journal records of kind `open`) by key, or a bare time."""


class WaitRequest(TypedDict):
    """A run that waits in its worker's memory."""

    assignment: int
    n: int
    run: RunId
    seq: int
    wait: Wait


class Welcome(TypedDict):
    """The answer to `hello`."""

    features: NotRequired[list[str]]
    hot_ms: int
    incarnation: int
    kept: NotRequired[list[Kept]]
    lease_ms: int
    namespace: Namespace
    now: int
    ping_ms: int
    protocol: int
    server: str


WorkerId: TypeAlias = "str"


class WorkerStatus(TypedDict):
    """A worker that is, or was lately, connected."""

    build: str
    connected_ms: int
    definitions: list[str]
    host: str
    id: WorkerId
    name: str
    pid: int
    runs: list[RunId]
    sdk: str
    slots: int
    state: str
