//! The read side: each call borrows a connection and asks the table's own file.

use super::Store;
use super::column::int;
use super::table::{
    api_key, approval, audit, blob, build, event, queue, record, replay, run, run_list, session,
    signal, start_key, stream, timer, waiter,
};
use crate::error::ReadError;
use crate::read::{KeptSlot, PageOf, PageRequest, QueueCount, Read, ReadyRun, RecordMark, Stretch};
use crate::row::{
    ApiKeyRow, ApprovalRow, AuditRow, EventRow, QueueRow, RecordRow, Run, SessionRow, SignalRow,
    StreamRow, TimerRow, WaiterRow,
};
use polos_protocol::rest::{ApprovalState, RunFilter};
use polos_protocol::{ApprovalId, Millis, Namespace, RunId, SessionId, StepKey, Value};
use std::sync::Arc;

impl Read for Store {
    fn run(&self, namespace: &Namespace, id: RunId) -> Result<Option<Run>, ReadError> {
        self.reads.with(|connection| run::one(connection, namespace, id))
    }

    fn runs(
        &self,
        namespace: &Namespace,
        filter: &RunFilter,
        page: &PageRequest,
    ) -> Result<PageOf<Run>, ReadError> {
        self.reads.with(|connection| run_list::list(connection, namespace, filter, page))
    }

    fn start_key(
        &self,
        namespace: &Namespace,
        workflow: &str,
        key: &str,
    ) -> Result<Option<RunId>, ReadError> {
        self.reads.with(|connection| start_key::run_of(connection, namespace, workflow, key))
    }

    fn living_children(
        &self,
        namespace: &Namespace,
        parent: RunId,
    ) -> Result<Vec<RunId>, ReadError> {
        self.reads.with(|connection| run::living_children(connection, namespace, parent))
    }

    fn child_count(&self, namespace: &Namespace, parent: RunId) -> Result<u32, ReadError> {
        self.reads.with(|connection| run::child_count(connection, namespace, parent))
    }

    fn ready_runs(&self) -> Result<Vec<ReadyRun>, ReadError> {
        self.reads.with(run::ready)
    }

    fn running_runs(&self) -> Result<Vec<(Namespace, RunId)>, ReadError> {
        self.reads.with(run::running)
    }

    fn kept_slots(&self) -> Result<Vec<KeptSlot>, ReadError> {
        self.reads.with(run::kept_slots)
    }

    fn journal(
        &self,
        namespace: &Namespace,
        run: RunId,
        after: u64,
        bytes_max: usize,
    ) -> Result<Vec<RecordRow>, ReadError> {
        self.reads
            .with(|connection| record::page(connection, namespace, run, int(after), bytes_max))
    }

    fn replay_page(
        &self,
        namespace: &Namespace,
        run: RunId,
        stretch: Stretch,
    ) -> Result<Vec<RecordRow>, ReadError> {
        self.reads.with(|connection| replay::page(connection, namespace, run, stretch))
    }

    fn journal_value(
        &self,
        namespace: &Namespace,
        run: RunId,
        seq: u64,
    ) -> Result<Option<Value>, ReadError> {
        self.reads.with(|connection| record::value(connection, namespace, run, int(seq)))
    }

    fn journal_end(&self, namespace: &Namespace, run: RunId) -> Result<u64, ReadError> {
        self.reads.with(|connection| record::end(connection, namespace, run))
    }

    fn journal_bytes(&self, namespace: &Namespace, run: RunId) -> Result<u64, ReadError> {
        self.reads.with(|connection| record::bytes(connection, namespace, run))
    }

    fn journal_marks(
        &self,
        namespace: &Namespace,
        run: RunId,
    ) -> Result<Vec<RecordMark>, ReadError> {
        self.reads.with(|connection| record::marks(connection, namespace, run))
    }

    fn journal_key(
        &self,
        namespace: &Namespace,
        run: RunId,
        key: &StepKey,
    ) -> Result<Vec<RecordRow>, ReadError> {
        self.reads.with(|connection| record::with_key(connection, namespace, run, key))
    }

    fn timers(&self, after: Option<&TimerRow>, limit: u32) -> Result<Vec<TimerRow>, ReadError> {
        self.reads.with(|connection| timer::after(connection, after, limit))
    }

    fn waiters(&self, namespace: &Namespace, topic: &str) -> Result<Vec<WaiterRow>, ReadError> {
        self.reads.with(|connection| waiter::on_topic(connection, namespace, topic))
    }

    fn next_event(
        &self,
        namespace: &Namespace,
        topic: &str,
        position: u64,
        from_ms: Millis,
    ) -> Result<Option<EventRow>, ReadError> {
        self.reads.with(|connection| event::next(connection, namespace, topic, position, from_ms))
    }

    fn topic_head(&self, namespace: &Namespace, topic: &str) -> Result<u64, ReadError> {
        self.reads.with(|connection| event::head(connection, namespace, topic))
    }

    fn event_key(
        &self,
        namespace: &Namespace,
        topic: &str,
        key: &str,
    ) -> Result<Option<EventRow>, ReadError> {
        self.reads.with(|connection| event::with_key(connection, namespace, topic, key))
    }

    fn signals(&self, namespace: &Namespace, run: RunId) -> Result<Vec<SignalRow>, ReadError> {
        self.reads.with(|connection| signal::of_run(connection, namespace, run))
    }

    fn approval(
        &self,
        namespace: &Namespace,
        id: ApprovalId,
    ) -> Result<Option<ApprovalRow>, ReadError> {
        self.reads.with(|connection| approval::one(connection, namespace, id))
    }

    fn approvals(
        &self,
        namespace: &Namespace,
        state: Option<ApprovalState>,
        run: Option<RunId>,
        page: &PageRequest,
    ) -> Result<PageOf<ApprovalRow>, ReadError> {
        self.reads.with(|connection| approval::list(connection, namespace, state, run, page))
    }

    fn session(
        &self,
        namespace: &Namespace,
        id: SessionId,
    ) -> Result<Option<SessionRow>, ReadError> {
        self.reads.with(|connection| session::one(connection, namespace, id))
    }

    fn sessions(
        &self,
        namespace: &Namespace,
        page: &PageRequest,
    ) -> Result<PageOf<SessionRow>, ReadError> {
        self.reads.with(|connection| session::list(connection, namespace, page))
    }

    fn queues(&self) -> Result<Vec<QueueRow>, ReadError> {
        self.reads.with(queue::all)
    }

    fn queue_counts(&self, namespace: &Namespace) -> Result<Vec<QueueCount>, ReadError> {
        self.reads.with(|connection| queue::counts(connection, namespace))
    }

    fn api_keys(&self) -> Result<Vec<ApiKeyRow>, ReadError> {
        self.reads.with(api_key::all)
    }

    fn builds(&self) -> Result<Vec<(Arc<str>, Millis)>, ReadError> {
        self.reads.with(build::all)
    }

    fn audit(
        &self,
        namespace: &Namespace,
        page: &PageRequest,
    ) -> Result<PageOf<AuditRow>, ReadError> {
        self.reads.with(|connection| audit::list(connection, namespace, page))
    }

    fn blob_size(
        &self,
        namespace: &Namespace,
        run: RunId,
        hash: &str,
    ) -> Result<Option<u64>, ReadError> {
        self.reads.with(|connection| blob::size(connection, namespace, run, hash))
    }

    fn blob(&self, namespace: &Namespace, hash: &str) -> Result<Option<Arc<str>>, ReadError> {
        self.reads.with(|connection| blob::text(connection, namespace, hash))
    }

    fn stream(
        &self,
        namespace: &Namespace,
        run: RunId,
        after: u64,
        limit: u32,
    ) -> Result<Vec<StreamRow>, ReadError> {
        self.reads.with(|connection| stream::after(connection, namespace, run, after, limit))
    }

    fn stream_head(&self, namespace: &Namespace, run: RunId) -> Result<u64, ReadError> {
        self.reads.with(|connection| stream::head(connection, namespace, run))
    }

    fn ended_roots(
        &self,
        namespace: &Namespace,
        before: Millis,
        limit: u32,
    ) -> Result<Vec<Vec<RunId>>, ReadError> {
        self.reads.with(|connection| run::ended_roots(connection, namespace, int(before), limit))
    }

    fn namespaces(&self) -> Result<Vec<Namespace>, ReadError> {
        self.reads.with(run::namespaces)
    }
}
