//! The read side of the model.

use super::tables::Tables;
use super::{Memory, journal, list};
use polos_protocol::rest::{ApprovalState, RunFilter};
use polos_protocol::{ApprovalId, Millis, Namespace, RunId, SessionId, State, StepKey, Value};
use polos_store::ReadError;
use polos_store::read::{
    KeptSlot, PageOf, PageRequest, QueueCount, Read, ReadyRun, RecordMark, Stretch,
};
use polos_store::row::{
    ApiKeyRow, ApprovalRow, AuditRow, EventRow, QueueRow, RecordRow, Run, SessionRow, SignalRow,
    StreamRow, TimerRow, WaiterRow,
};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

impl Memory {
    fn tables(&self) -> Tables {
        self.state().tables.clone()
    }
}

impl Read for Memory {
    fn run(&self, namespace: &Namespace, id: RunId) -> Result<Option<Run>, ReadError> {
        Ok(self.tables().runs.get(&(namespace.clone(), id)).map(|run| (**run).clone()))
    }

    fn runs(
        &self,
        namespace: &Namespace,
        filter: &RunFilter,
        page: &PageRequest,
    ) -> Result<PageOf<Run>, ReadError> {
        let tables = self.tables();
        let fitting = list::runs(&tables, namespace).filter(|run| list::fits(run, filter));
        let place = |run: &Run| (run.row.created_ms, run.row.id.to_string());
        list::page(fitting.map(|run| (place(run), (**run).clone())), page)
    }

    fn start_key(
        &self,
        namespace: &Namespace,
        workflow: &str,
        key: &str,
    ) -> Result<Option<RunId>, ReadError> {
        let place = (namespace.clone(), workflow.to_owned(), key.to_owned());
        Ok(self.tables().start_keys.get(&place).map(|key| key.run))
    }

    fn living_children(
        &self,
        namespace: &Namespace,
        parent: RunId,
    ) -> Result<Vec<RunId>, ReadError> {
        let living = |run: &&Arc<Run>| {
            run.row.parent == Some(parent) && !run.row.detached && !run.status.state.is_ended()
        };
        let tables = self.tables();
        Ok(list::runs(&tables, namespace).filter(living).map(|run| run.row.id).collect())
    }

    fn child_count(&self, namespace: &Namespace, parent: RunId) -> Result<u32, ReadError> {
        let tables = self.tables();
        let children =
            list::runs(&tables, namespace).filter(|run| run.row.parent == Some(parent)).count();
        Ok(u32::try_from(children).unwrap_or(u32::MAX))
    }

    fn ready_runs(&self) -> Result<Vec<ReadyRun>, ReadError> {
        let tables = self.tables();
        let queued = tables.runs.values().filter(|run| run.status.state == State::Queued);
        Ok(queued.map(|run| list::ready(run)).collect())
    }

    fn running_runs(&self) -> Result<Vec<(Namespace, RunId)>, ReadError> {
        let tables = self.tables();
        let running = tables.runs.iter().filter(|(_, run)| run.status.state == State::Running);
        Ok(running.map(|(place, _)| place.clone()).collect())
    }

    fn kept_slots(&self) -> Result<Vec<KeptSlot>, ReadError> {
        let tables = self.tables();
        let kept = tables.runs.values().filter_map(|run| {
            Some(KeptSlot {
                namespace: run.row.namespace.clone(),
                run: run.row.id,
                queue: run.row.queue.clone(),
                concurrency_key: run.row.options.concurrency_key.clone(),
                slot: run.status.slot?,
            })
        });
        Ok(kept.collect())
    }

    fn journal(
        &self,
        namespace: &Namespace,
        run: RunId,
        after: u64,
        bytes_max: usize,
    ) -> Result<Vec<RecordRow>, ReadError> {
        Ok(journal::page(journal::of(&self.tables(), namespace, run), after, bytes_max))
    }

    fn replay_page(
        &self,
        namespace: &Namespace,
        run: RunId,
        stretch: Stretch,
    ) -> Result<Vec<RecordRow>, ReadError> {
        Ok(journal::replay(journal::of(&self.tables(), namespace, run), run, stretch))
    }

    fn journal_value(
        &self,
        namespace: &Namespace,
        run: RunId,
        seq: u64,
    ) -> Result<Option<Value>, ReadError> {
        let tables = self.tables();
        let row = journal::of(&tables, namespace, run).iter().find(|row| row.seq == seq);
        Ok(row.and_then(|row| row.record.value.clone()))
    }

    fn journal_end(&self, namespace: &Namespace, run: RunId) -> Result<u64, ReadError> {
        let tables = self.tables();
        Ok(journal::of(&tables, namespace, run).last().map_or(0, |row| row.seq))
    }

    fn journal_bytes(&self, namespace: &Namespace, run: RunId) -> Result<u64, ReadError> {
        let tables = self.tables();
        let sizes = journal::of(&tables, namespace, run).iter().map(|row| row.record.size() as u64);
        Ok(sizes.sum())
    }

    fn journal_marks(
        &self,
        namespace: &Namespace,
        run: RunId,
    ) -> Result<Vec<RecordMark>, ReadError> {
        Ok(journal::of(&self.tables(), namespace, run).iter().map(journal::mark).collect())
    }

    fn journal_key(
        &self,
        namespace: &Namespace,
        run: RunId,
        key: &StepKey,
    ) -> Result<Vec<RecordRow>, ReadError> {
        let tables = self.tables();
        let rows = journal::of(&tables, namespace, run).iter();
        Ok(rows.filter(|row| row.record.key == *key).map(|row| (**row).clone()).collect())
    }

    fn timers(&self, after: Option<&TimerRow>, limit: u32) -> Result<Vec<TimerRow>, ReadError> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let tables = self.tables();
        let due = tables.timers_due.range::<TimerRow, _>((from, Bound::Unbounded));
        Ok(due.take(limit as usize).cloned().collect())
    }

    fn waiters(&self, namespace: &Namespace, topic: &str) -> Result<Vec<WaiterRow>, ReadError> {
        let tables = self.tables();
        let on = |row: &&WaiterRow| row.namespace == *namespace && row.topic == topic;
        Ok(tables.waiters.iter().filter(on).cloned().collect())
    }

    fn next_event(
        &self,
        namespace: &Namespace,
        topic: &str,
        position: u64,
        from_ms: Millis,
    ) -> Result<Option<EventRow>, ReadError> {
        let tables = self.tables();
        let next = list::events(&tables, namespace, topic)
            .find(|event| event.position > position && (position > 0 || event.at >= from_ms));
        Ok(next.map(|event| (**event).clone()))
    }

    fn topic_head(&self, namespace: &Namespace, topic: &str) -> Result<u64, ReadError> {
        let place = (namespace.clone(), topic.to_owned());
        Ok(self.tables().topics.get(&place).copied().unwrap_or(0))
    }

    fn event_key(
        &self,
        namespace: &Namespace,
        topic: &str,
        key: &str,
    ) -> Result<Option<EventRow>, ReadError> {
        let tables = self.tables();
        Ok(list::event_with_key(&tables, namespace, topic, key).map(|event| (**event).clone()))
    }

    fn signals(&self, namespace: &Namespace, run: RunId) -> Result<Vec<SignalRow>, ReadError> {
        let (from, to) = ((namespace.clone(), run, 0), (namespace.clone(), run, u64::MAX));
        Ok(self.tables().signals.range(from..=to).map(|(_, row)| (**row).clone()).collect())
    }

    fn approval(
        &self,
        namespace: &Namespace,
        id: ApprovalId,
    ) -> Result<Option<ApprovalRow>, ReadError> {
        Ok(self.tables().approvals.get(&(namespace.clone(), id)).map(|row| (**row).clone()))
    }

    fn approvals(
        &self,
        namespace: &Namespace,
        state: Option<ApprovalState>,
        run: Option<RunId>,
        page: &PageRequest,
    ) -> Result<PageOf<ApprovalRow>, ReadError> {
        let fits = |row: &&Arc<ApprovalRow>| {
            row.namespace == *namespace
                && state.is_none_or(|state| row.approval.state == state)
                && run.is_none_or(|run| row.approval.run == run)
        };
        let place = |row: &ApprovalRow| (row.approval.created_ms, row.approval.id.to_string());
        let tables = self.tables();
        let rows = tables.approvals.values().filter(fits);
        list::page(rows.map(|row| (place(row), (**row).clone())), page)
    }

    fn session(
        &self,
        namespace: &Namespace,
        id: SessionId,
    ) -> Result<Option<SessionRow>, ReadError> {
        Ok(self.tables().sessions.get(&(namespace.clone(), id)).map(|row| (**row).clone()))
    }

    fn sessions(
        &self,
        namespace: &Namespace,
        page: &PageRequest,
    ) -> Result<PageOf<SessionRow>, ReadError> {
        let tables = self.tables();
        let own = tables.sessions.values().filter(|row| row.namespace == *namespace);
        let place = |row: &SessionRow| (row.session.updated_ms, row.session.id.to_string());
        list::page(own.map(|row| (place(row), (**row).clone())), page)
    }

    fn queues(&self) -> Result<Vec<QueueRow>, ReadError> {
        Ok(self.tables().queues.values().cloned().collect())
    }

    fn queue_counts(&self, namespace: &Namespace) -> Result<Vec<QueueCount>, ReadError> {
        let mut counts = BTreeMap::<String, QueueCount>::new();
        for run in list::runs(&self.tables(), namespace) {
            let state = run.status.state;
            if matches!(state, State::Queued | State::Running) {
                let queue = run.row.queue.clone();
                let none = QueueCount { queue: queue.clone(), queued: 0, running: 0 };
                let count = counts.entry(queue).or_insert(none);
                count.queued += u64::from(state == State::Queued);
                count.running += u64::from(state == State::Running);
            }
        }
        Ok(counts.into_values().collect())
    }

    fn api_keys(&self) -> Result<Vec<ApiKeyRow>, ReadError> {
        Ok(self.tables().api_keys.values().map(|row| (**row).clone()).collect())
    }

    fn builds(&self) -> Result<Vec<(Arc<str>, Millis)>, ReadError> {
        let mut first = BTreeMap::<Arc<str>, Millis>::new();
        for ((_, build), seen_ms) in self.tables().builds.iter() {
            let known = first.entry(build.clone()).or_insert(*seen_ms);
            *known = (*known).min(*seen_ms);
        }
        Ok(first.into_iter().collect())
    }

    fn audit(
        &self,
        namespace: &Namespace,
        page: &PageRequest,
    ) -> Result<PageOf<AuditRow>, ReadError> {
        let tables = self.tables();
        let numbered = tables.audit.iter().zip(1..);
        let own = numbered.filter(|(row, _)| row.namespace == *namespace);
        list::page(own.map(|(row, position)| ((position, String::new()), (**row).clone())), page)
    }

    fn blob_size(
        &self,
        namespace: &Namespace,
        run: RunId,
        hash: &str,
    ) -> Result<Option<u64>, ReadError> {
        let tables = self.tables();
        let is_held = tables.blob_refs.contains(&(namespace.clone(), run, hash.into()));
        let text = tables.blobs.get(&(namespace.clone(), hash.into())).filter(|_| is_held);
        Ok(text.map(|text| text.len() as u64))
    }

    fn blob(&self, namespace: &Namespace, hash: &str) -> Result<Option<Arc<str>>, ReadError> {
        Ok(self.tables().blobs.get(&(namespace.clone(), hash.into())).cloned())
    }

    fn stream(
        &self,
        namespace: &Namespace,
        run: RunId,
        after: u64,
        limit: u32,
    ) -> Result<Vec<StreamRow>, ReadError> {
        let from = Bound::Excluded((namespace.clone(), run, after));
        let to = Bound::Included((namespace.clone(), run, u64::MAX));
        let tables = self.tables();
        if after == u64::MAX {
            return Ok(Vec::new());
        }
        let rows = tables.streams.range((from, to)).take(limit as usize);
        Ok(rows.map(|(_, row)| (**row).clone()).collect())
    }

    fn stream_head(&self, namespace: &Namespace, run: RunId) -> Result<u64, ReadError> {
        let (from, to) = ((namespace.clone(), run, 0), (namespace.clone(), run, u64::MAX));
        Ok(self.tables().streams.range(from..=to).next_back().map_or(0, |(place, _)| place.2))
    }

    fn ended_roots(
        &self,
        namespace: &Namespace,
        before: Millis,
        limit: u32,
    ) -> Result<Vec<Vec<RunId>>, ReadError> {
        Ok(list::ended_roots(&self.tables(), namespace, before, limit as usize))
    }

    fn namespaces(&self) -> Result<Vec<Namespace>, ReadError> {
        let names: BTreeSet<_> = self.tables().runs.keys().map(|(ns, _)| ns.clone()).collect();
        Ok(names.into_iter().collect())
    }
}
