//! How rows are found. Reads see what is committed; lists go by cursor.

use crate::error::ReadError;
use crate::row::{
    ApiKeyRow, ApprovalRow, AuditRow, EventRow, QueueRow, RecordRow, Run, SessionRow, SignalRow,
    StreamRow, TimerRow, WaiterRow,
};
use polos_protocol::rest::{ApprovalState, RunFilter};
use polos_protocol::{ApprovalId, Kind, Millis, Namespace, RunId, SessionId, StepKey, Value};
use serde_json::value::RawValue;
use std::sync::Arc;

/// What a ready run looks like to the scheduler.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadyRun {
    /// Its namespace.
    pub namespace: Namespace,
    /// Its id: time ordered.
    pub run: RunId,
    /// What it runs.
    pub workflow: String,
    /// Its queue.
    pub queue: String,
    /// Its concurrency key.
    pub concurrency_key: Option<String>,
    /// Higher goes first.
    pub priority: i32,
    /// True if it has run before: such runs go ahead of new ones.
    pub resumed: bool,
    /// Its placement key, and whether no other worker will do.
    pub placement: Option<(String, bool)>,
    /// The newest build that recorded in it, when that was first seen, and whether it is kept to it.
    pub build: Option<(Arc<str>, Millis, bool)>,
    /// True if it must run without neighbours.
    pub alone: bool,
}

impl ReadyRun {
    /// How a run looks to the scheduler.
    pub fn of(run: &Run) -> Self {
        let (row, status) = (&run.row, &run.status);
        Self {
            namespace: row.namespace.clone(),
            run: row.id,
            workflow: row.workflow.clone(),
            queue: row.queue.clone(),
            concurrency_key: row.options.concurrency_key.clone(),
            priority: row.options.priority,
            resumed: status.started_ms.is_some(),
            placement: row.options.placement.as_ref().map(|p| (p.key.clone(), p.require)),
            build: status
                .build
                .as_ref()
                .filter(|_| !status.any_build)
                .map(|build| (build.clone(), status.build_seen_ms, row.options.pin)),
            alone: status.alone,
        }
    }
}

/// A run that keeps its queue slot whatever it does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptSlot {
    /// Its namespace.
    pub namespace: Namespace,
    /// The run.
    pub run: RunId,
    /// Its queue.
    pub queue: String,
    /// Its concurrency key.
    pub concurrency_key: Option<String>,
    /// The run whose slot it is in: itself or an ancestor.
    pub slot: RunId,
}

/// A record without its payload: what the engine needs to know which keys are taken and open, and
/// where the journal stands.
#[derive(Debug, Clone)]
pub struct RecordMark {
    /// Its place.
    pub seq: u64,
    /// When it was committed.
    pub at: Millis,
    /// The assignment that wrote it; 0 for the server's.
    pub assignment: u64,
    /// The worker's own number of it; 0 for the server's.
    pub n: u64,
    /// Its bytes: key, value, error and detail.
    pub size: u64,
    /// What it is about.
    pub kind: Kind,
    /// The step's key.
    pub key: StepKey,
    /// True unless the record has an error.
    pub ok: bool,
    /// The place up to which the code had been handed outcomes when it asked for this.
    pub after: u64,
    /// The kind's own detail, for `open`, `reset`, `resolved` and `intent` only.
    pub detail: Option<Arc<RawValue>>,
}

/// Which records of a journal are to be read.
#[derive(Debug, Clone, Copy)]
pub struct Stretch {
    /// Those after this one,
    pub after: u64,
    /// up to this one,
    pub upto: u64,
    /// until so many bytes are passed.
    pub bytes_max: usize,
    /// Larger values stand by reference.
    pub value_bytes_max: usize,
}

/// A page to be read.
#[derive(Debug, Clone, Default)]
pub struct PageRequest {
    /// Go on after what this cursor says; the cursor is the store's own and opaque.
    pub cursor: Option<String>,
    /// At most so many items.
    pub limit: u32,
}

/// A page that was read.
#[derive(Debug, Clone)]
pub struct PageOf<T> {
    /// The items.
    pub items: Vec<T>,
    /// Where the next page begins, if there is one.
    pub next_cursor: Option<String>,
}

/// How runs and slots stand in a queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueCount {
    /// The queue.
    pub queue: String,
    /// Runs that are `queued`.
    pub queued: u64,
    /// Runs that are `running`.
    pub running: u64,
}

/// The read side of a store. Every call may block.
pub trait Read {
    /// One run.
    fn run(&self, namespace: &Namespace, id: RunId) -> Result<Option<Run>, ReadError>;
    /// Runs that fit a filter, newest first.
    fn runs(
        &self,
        namespace: &Namespace,
        filter: &RunFilter,
        page: &PageRequest,
    ) -> Result<PageOf<Run>, ReadError>;
    /// The run that was started under a key.
    fn start_key(
        &self,
        namespace: &Namespace,
        workflow: &str,
        key: &str,
    ) -> Result<Option<RunId>, ReadError>;
    /// The runs that a run opened and that have not ended, attached ones only.
    fn living_children(
        &self,
        namespace: &Namespace,
        parent: RunId,
    ) -> Result<Vec<RunId>, ReadError>;
    /// How many runs a run has opened.
    fn child_count(&self, namespace: &Namespace, parent: RunId) -> Result<u32, ReadError>;
    /// All `queued` runs of all namespaces, for the scheduler.
    fn ready_runs(&self) -> Result<Vec<ReadyRun>, ReadError>;
    /// All `running` runs of all namespaces.
    fn running_runs(&self) -> Result<Vec<(Namespace, RunId)>, ReadError>;
    /// The runs of all namespaces that keep a queue slot whatever they do.
    fn kept_slots(&self) -> Result<Vec<KeptSlot>, ReadError>;

    /// Records after `after`, oldest first, until `bytes_max` is passed (at least one).
    fn journal(
        &self,
        namespace: &Namespace,
        run: RunId,
        after: u64,
        bytes_max: usize,
    ) -> Result<Vec<RecordRow>, ReadError>;
    /// A stretch of a journal as a worker replays it: oldest first, until `bytes_max` is passed (at
    /// least one). Large values stand by reference to their place, and what only people want (who
    /// wrote a record, when it was asked for, begun and ended, its trace) is left out.
    fn replay_page(
        &self,
        namespace: &Namespace,
        run: RunId,
        stretch: Stretch,
    ) -> Result<Vec<RecordRow>, ReadError>;
    /// The value of one record.
    fn journal_value(
        &self,
        namespace: &Namespace,
        run: RunId,
        seq: u64,
    ) -> Result<Option<Value>, ReadError>;
    /// The highest sequence number of a journal; 0 if there is none.
    fn journal_end(&self, namespace: &Namespace, run: RunId) -> Result<u64, ReadError>;
    /// The bytes of all records of a journal: keys, values, errors and details.
    fn journal_bytes(&self, namespace: &Namespace, run: RunId) -> Result<u64, ReadError>;
    /// All records of a run without their payloads, oldest first.
    fn journal_marks(
        &self,
        namespace: &Namespace,
        run: RunId,
    ) -> Result<Vec<RecordMark>, ReadError>;
    /// The records with this key, oldest first.
    fn journal_key(
        &self,
        namespace: &Namespace,
        run: RunId,
        key: &StepKey,
    ) -> Result<Vec<RecordRow>, ReadError>;

    /// Timers of all namespaces that are due after `after` (exclusive, in the row's own order), at
    /// most `limit`, earliest first.
    fn timers(&self, after: Option<&TimerRow>, limit: u32) -> Result<Vec<TimerRow>, ReadError>;
    /// Who waits on a topic.
    fn waiters(&self, namespace: &Namespace, topic: &str) -> Result<Vec<WaiterRow>, ReadError>;
    /// The first event of a topic after a place and, if `position` is 0, published at `from_ms` or later.
    fn next_event(
        &self,
        namespace: &Namespace,
        topic: &str,
        position: u64,
        from_ms: Millis,
    ) -> Result<Option<EventRow>, ReadError>;
    /// The highest place in a topic; 0 if there is none.
    fn topic_head(&self, namespace: &Namespace, topic: &str) -> Result<u64, ReadError>;
    /// The event that was published under a key.
    fn event_key(
        &self,
        namespace: &Namespace,
        topic: &str,
        key: &str,
    ) -> Result<Option<EventRow>, ReadError>;
    /// All signals of a run, oldest first.
    fn signals(&self, namespace: &Namespace, run: RunId) -> Result<Vec<SignalRow>, ReadError>;

    /// One approval.
    fn approval(
        &self,
        namespace: &Namespace,
        id: ApprovalId,
    ) -> Result<Option<ApprovalRow>, ReadError>;
    /// Approvals, newest first.
    fn approvals(
        &self,
        namespace: &Namespace,
        state: Option<ApprovalState>,
        run: Option<RunId>,
        page: &PageRequest,
    ) -> Result<PageOf<ApprovalRow>, ReadError>;
    /// One session.
    fn session(
        &self,
        namespace: &Namespace,
        id: SessionId,
    ) -> Result<Option<SessionRow>, ReadError>;
    /// Sessions, latest first.
    fn sessions(
        &self,
        namespace: &Namespace,
        page: &PageRequest,
    ) -> Result<PageOf<SessionRow>, ReadError>;
    /// All configured queues of all namespaces.
    fn queues(&self) -> Result<Vec<QueueRow>, ReadError>;
    /// How the queues of a namespace stand.
    fn queue_counts(&self, namespace: &Namespace) -> Result<Vec<QueueCount>, ReadError>;
    /// All API keys of all namespaces, revoked ones too.
    fn api_keys(&self) -> Result<Vec<ApiKeyRow>, ReadError>;
    /// When each build was first seen.
    fn builds(&self) -> Result<Vec<(Arc<str>, Millis)>, ReadError>;
    /// The audit log, newest first.
    fn audit(
        &self,
        namespace: &Namespace,
        page: &PageRequest,
    ) -> Result<PageOf<AuditRow>, ReadError>;
    /// The size of a blob to which a run refers.
    fn blob_size(
        &self,
        namespace: &Namespace,
        run: RunId,
        hash: &str,
    ) -> Result<Option<u64>, ReadError>;
    /// A blob's text.
    fn blob(&self, namespace: &Namespace, hash: &str) -> Result<Option<Arc<str>>, ReadError>;
    /// Live output of a run after a place, at most `limit` pieces.
    fn stream(
        &self,
        namespace: &Namespace,
        run: RunId,
        after: u64,
        limit: u32,
    ) -> Result<Vec<StreamRow>, ReadError>;
    /// The highest place in a run's live output; 0 if there is none.
    fn stream_head(&self, namespace: &Namespace, run: RunId) -> Result<u64, ReadError>;
    /// Root runs that ended before a time, with all of their tree ended: what retention may delete.
    fn ended_roots(
        &self,
        namespace: &Namespace,
        before: Millis,
        limit: u32,
    ) -> Result<Vec<Vec<RunId>>, ReadError>;
    /// The namespaces that have any run.
    fn namespaces(&self) -> Result<Vec<Namespace>, ReadError>;
}
