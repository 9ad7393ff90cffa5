//! Rows to test with: small, and all fields set to something that can be lost.

use polos_protocol::frame::StreamItem;
use polos_protocol::record::{OpenApproval, RunOptions};
use polos_protocol::rest::{ApiKey, Approval, ApprovalState, Scope, Session};
use polos_protocol::{
    ApiKeyId, ApprovalId, DefinitionKind, EventId, Failure, Kind, Millis, Namespace, NewRecord,
    QueueConfig, RunId, SessionId, State, StepKey, Value, WorkerId,
};
use polos_store::row::{
    ApiKeyRow, ApprovalRow, AuditRow, EventRow, QueueRow, RecordRow, RunRow, RunStatus, SessionRow,
    SignalRow, StreamRow, TimerKind, TimerRow, WaiterRow,
};
use polos_store::{Batch, Change, Check, Command, CommitError, Outcome, Store};

/// A time from which the samples count.
pub const NOW: Millis = 1_760_000_000_000;

/// Ten bytes from a number.
fn tail(number: u64) -> [u8; 10] {
    let mut bytes = [0; 10];
    bytes[2..].copy_from_slice(&number.to_be_bytes());
    bytes
}

/// The run id with this number.
pub fn run(number: u64) -> RunId {
    RunId::from_parts(NOW + number, tail(number))
}

/// The approval id with this number.
pub fn approval(number: u64) -> ApprovalId {
    ApprovalId::from_parts(NOW + number, tail(number))
}

/// The session id with this number.
pub fn session(number: u64) -> SessionId {
    SessionId::from_parts(NOW + number, tail(number))
}

/// The event id with this number.
pub fn event(number: u64) -> EventId {
    EventId::from_parts(NOW + number, tail(number))
}

/// The worker id with this number.
pub fn worker(number: u64) -> WorkerId {
    WorkerId::from_parts(NOW + number, tail(number))
}

/// The API key's id with this number.
pub fn api_key(number: u64) -> ApiKeyId {
    ApiKeyId::from_parts(NOW + number, tail(number))
}

/// A namespace of this name.
///
/// # Panics
/// The name is none.
#[expect(clippy::expect_used, reason = "tests write the name")]
pub fn namespace(name: &str) -> Namespace {
    name.parse().expect("a namespace")
}

/// A key in the run's own scope.
pub fn key(name: &str) -> StepKey {
    StepKey::run().child(name, 1)
}

/// Some JSON.
#[expect(clippy::expect_used, reason = "tests write the text")]
pub fn value(text: &str) -> Value {
    Value::from_text(text).expect("JSON text")
}

/// A root run with this number.
pub fn run_row(number: u64) -> RunRow {
    let options = RunOptions {
        concurrency_key: Some(format!("key{}", number % 3)),
        priority: i32::try_from(number % 5).unwrap_or(0) - 2,
        labels: [("tier".to_owned(), format!("t{}", number % 2))].into(),
        session: Some(session(number % 2)),
        ..RunOptions::default()
    };
    RunRow {
        namespace: Namespace::default(),
        id: run(number),
        workflow: format!("work{}", number % 2),
        kind: DefinitionKind::Workflow,
        input: value(r#"{"n":[1,2.50,"ü"]}"#),
        start_key: None,
        seed: "5eed".into(),
        root: run(number),
        parent: None,
        parent_key: None,
        detached: false,
        depth: 0,
        queue: format!("queue{}", number % 2),
        options,
        principal: "tester".into(),
        forked_from: None,
        created_ms: NOW + number,
    }
}

/// A run with this number, started by another.
pub fn child_row(number: u64, parent: &RunRow) -> RunRow {
    RunRow {
        namespace: parent.namespace.clone(),
        root: parent.root,
        parent: Some(parent.id),
        parent_key: Some(key("child")),
        depth: parent.depth + 1,
        ..run_row(number)
    }
}

/// A status in a state, with what belongs to it.
pub fn status(state: State) -> RunStatus {
    let mut status = RunStatus::queued(NOW);
    status.state = state;
    match state {
        State::Queued => {}
        State::Running | State::Waiting | State::Blocked => status.started_ms = Some(NOW),
        State::Completed => status.output = Some(Value::null()),
        State::Failed | State::Cancelled => {
            status.error = Some(Failure::new("boom", "it went off"));
        }
    }
    status.ended_ms = state.is_ended().then_some(NOW + 1_000);
    status
}

/// A step's record at a place.
pub fn record(seq: u64) -> RecordRow {
    let mut record = NewRecord::new(seq, Kind::Step, key(&format!("step{seq}")), seq - 1);
    record.value = Some(value(r#"{"done":true,"text":"größer"}"#));
    record.fingerprint = Some("f00d".into());
    record.requested_ms = Some(NOW + seq);
    record.started_ms = Some(NOW + seq + 1);
    record.ended_ms = Some(NOW + seq + 2);
    record.traceparent = Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".into());
    RecordRow {
        seq,
        at: NOW + seq,
        assignment: 1,
        worker: Some(worker(1)),
        build: Some("b1".into()),
        record,
    }
}

/// A timer of a run.
pub fn timer(at: Millis, run: RunId, kind: TimerKind, name: &str) -> TimerRow {
    TimerRow { at, namespace: Namespace::default(), run, kind, key: key(name) }
}

/// A run that waits on a topic.
pub fn waiter(topic: &str, run: RunId, name: &str) -> WaiterRow {
    WaiterRow { namespace: Namespace::default(), topic: topic.into(), run, key: key(name) }
}

/// An event at a place of a topic; a place later is a millisecond later.
pub fn event_row(topic: &str, position: u64) -> EventRow {
    EventRow {
        namespace: Namespace::default(),
        topic: topic.into(),
        position,
        id: event(position),
        key: None,
        payload: value(r#"{"event":1}"#),
        at: NOW + position,
    }
}

/// A signal at a place of a run's inbox.
pub fn signal_row(run: RunId, position: u64) -> SignalRow {
    SignalRow {
        namespace: Namespace::default(),
        run,
        position,
        topic: "poke".into(),
        id: event(position),
        key: Some(format!("k{position}")),
        payload: value(r#""now""#),
        at: NOW + position,
        consumed: false,
    }
}

/// An open question of a run.
pub fn approval_row(number: u64, run: RunId) -> ApprovalRow {
    let question = OpenApproval {
        title: "may I?".into(),
        subject: serde_json::json!({ "command": "rm -rf target" }),
        assignees: vec!["ada".into()],
        ..OpenApproval::default()
    };
    ApprovalRow {
        namespace: Namespace::default(),
        approval: Approval {
            id: approval(number),
            run,
            workflow: "work".into(),
            key: key("ask"),
            state: ApprovalState::Pending,
            question,
            created_ms: NOW + number,
            answer: None,
        },
    }
}

/// A session.
pub fn session_row(number: u64) -> SessionRow {
    SessionRow {
        namespace: Namespace::default(),
        session: Session {
            id: session(number),
            title: Some("talk".into()),
            metadata: serde_json::json!({ "number": number }),
            created_ms: NOW,
            updated_ms: NOW + number,
        },
    }
}

/// A configured queue.
pub fn queue_row(name: &str) -> QueueRow {
    let config = QueueConfig {
        name: name.into(),
        concurrency: Some(3),
        concurrency_per_key: Some(1),
        hold: true,
        paused: false,
    };
    QueueRow { namespace: Namespace::default(), config, by_operator: true }
}

/// An API key.
pub fn api_key_row(number: u64) -> ApiKeyRow {
    let mut secret_hash = [0; 32];
    secret_hash[..8].copy_from_slice(&number.to_be_bytes());
    ApiKeyRow {
        key: ApiKey {
            id: api_key(number),
            name: "ci".into(),
            namespace: Namespace::default(),
            scopes: vec![Scope::Read, Scope::Worker],
            created_ms: NOW,
            revoked_ms: None,
        },
        secret_hash,
    }
}

/// A decision in the audit log.
pub fn audit_row(target: &str) -> AuditRow {
    AuditRow {
        namespace: Namespace::default(),
        at: NOW,
        principal: "ada".into(),
        action: "cancel".into(),
        target: target.into(),
        detail: serde_json::json!({ "reason": "why not" }),
    }
}

/// Live output of a run at a place.
pub fn stream_row(run: RunId, position: u64) -> StreamRow {
    StreamRow {
        namespace: Namespace::default(),
        run,
        position,
        at: NOW + position,
        item: StreamItem {
            key: key("step1"),
            attempt: 2,
            kind: "text".into(),
            data: value(r#""Hel""#),
        },
    }
}

/// A command in the default namespace.
pub fn command(checks: Vec<Check>, changes: Vec<Change>) -> Command {
    Command { namespace: Namespace::default(), checks, changes }
}

/// The insertion of a run.
pub fn insert_run(row: RunRow, status: RunStatus) -> Change {
    Change::InsertRun(row.into(), Box::new(status))
}

/// Commits commands as the current owner.
pub fn commit(store: &dyn Store, commands: Vec<Command>) -> Result<Vec<Outcome>, CommitError> {
    store.commit(Batch { owner: store.incarnation(), commands })
}

/// Commits changes of the default namespace that must succeed.
///
/// # Panics
/// They do not.
#[expect(clippy::expect_used, reason = "the test ends here")]
pub fn apply(store: &dyn Store, changes: Vec<Change>) {
    let outcomes = commit(store, vec![command(Vec::new(), changes)]).expect("a commit");
    assert_eq!(outcomes, [Outcome::Applied]);
}
