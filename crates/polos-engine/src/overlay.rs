//! What the present batch has written to tables that are not kept in memory: reads look here first,
//! then in the store. Emptied when the batch is durable.

use crate::error::Error;
use polos_protocol::{ApprovalId, Millis, Namespace, RunId, SessionId};
use polos_store::Read;
use polos_store::row::{ApprovalRow, EventRow, SessionRow, WaiterRow};
use std::collections::{BTreeMap, BTreeSet};

type Topic = (Namespace, String);

/// Rows of the present batch.
#[derive(Debug, Default)]
pub(crate) struct Overlay {
    deleted: BTreeSet<RunId>,
    start_keys: BTreeMap<(Namespace, String, String), RunId>,
    approvals: BTreeMap<ApprovalId, ApprovalRow>,
    sessions: BTreeMap<SessionId, SessionRow>,
    events: BTreeMap<Topic, Vec<EventRow>>,
    waiters: BTreeMap<Topic, BTreeMap<WaiterRow, bool>>,
}

impl Overlay {
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    pub(crate) fn delete_run(&mut self, run: RunId) {
        self.deleted.insert(run);
    }

    pub(crate) fn is_deleted(&self, run: RunId) -> bool {
        self.deleted.contains(&run)
    }

    pub(crate) fn put_start_key(
        &mut self,
        namespace: &Namespace,
        workflow: &str,
        key: &str,
        run: RunId,
    ) {
        self.start_keys.insert((namespace.clone(), workflow.to_owned(), key.to_owned()), run);
    }

    pub(crate) fn start_key(
        &self,
        namespace: &Namespace,
        workflow: &str,
        key: &str,
        store: &dyn Read,
    ) -> Result<Option<RunId>, Error> {
        match self.start_keys.get(&(namespace.clone(), workflow.to_owned(), key.to_owned())) {
            Some(run) => Ok(Some(*run)),
            None => Ok(store.start_key(namespace, workflow, key)?),
        }
    }

    pub(crate) fn put_approval(&mut self, row: ApprovalRow) {
        self.approvals.insert(row.approval.id, row);
    }

    pub(crate) fn approval(
        &self,
        namespace: &Namespace,
        id: ApprovalId,
        store: &dyn Read,
    ) -> Result<Option<ApprovalRow>, Error> {
        match self.approvals.get(&id) {
            Some(row) => Ok((row.namespace == *namespace).then(|| row.clone())),
            None => Ok(store.approval(namespace, id)?),
        }
    }

    pub(crate) fn put_session(&mut self, row: SessionRow) {
        self.sessions.insert(row.session.id, row);
    }

    pub(crate) fn session(
        &self,
        namespace: &Namespace,
        id: SessionId,
        store: &dyn Read,
    ) -> Result<Option<SessionRow>, Error> {
        match self.sessions.get(&id) {
            Some(row) => Ok((row.namespace == *namespace).then(|| row.clone())),
            None => Ok(store.session(namespace, id)?),
        }
    }

    pub(crate) fn put_event(&mut self, row: EventRow) {
        self.events.entry((row.namespace.clone(), row.topic.clone())).or_default().push(row);
    }

    pub(crate) fn topic_head(
        &self,
        namespace: &Namespace,
        topic: &str,
        store: &dyn Read,
    ) -> Result<u64, Error> {
        match self
            .events
            .get(&(namespace.clone(), topic.to_owned()))
            .and_then(|events| events.last())
        {
            Some(event) => Ok(event.position),
            None => Ok(store.topic_head(namespace, topic)?),
        }
    }

    pub(crate) fn event_key(
        &self,
        namespace: &Namespace,
        topic: &str,
        key: &str,
        store: &dyn Read,
    ) -> Result<Option<EventRow>, Error> {
        let here = self
            .events
            .get(&(namespace.clone(), topic.to_owned()))
            .and_then(|events| events.iter().find(|event| event.key.as_deref() == Some(key)));
        match here {
            Some(event) => Ok(Some(event.clone())),
            None => Ok(store.event_key(namespace, topic, key)?),
        }
    }

    /// The first event after a place; at place 0, the first from a time on.
    pub(crate) fn next_event(
        &self,
        namespace: &Namespace,
        topic: &str,
        (position, from_ms): (u64, Millis),
        store: &dyn Read,
    ) -> Result<Option<EventRow>, Error> {
        if let Some(event) = store.next_event(namespace, topic, position, from_ms)? {
            return Ok(Some(event));
        }
        let here = self.events.get(&(namespace.clone(), topic.to_owned()));
        let mut events = here.into_iter().flatten();
        Ok(events.find(|e| e.position > position && (position > 0 || e.at >= from_ms)).cloned())
    }

    pub(crate) fn put_waiter(&mut self, row: WaiterRow, present: bool) {
        let topic = (row.namespace.clone(), row.topic.clone());
        self.waiters.entry(topic).or_default().insert(row, present);
    }

    pub(crate) fn waiters(
        &self,
        namespace: &Namespace,
        topic: &str,
        store: &dyn Read,
    ) -> Result<Vec<WaiterRow>, Error> {
        let mut rows: BTreeSet<WaiterRow> = store.waiters(namespace, topic)?.into_iter().collect();
        for (row, present) in
            self.waiters.get(&(namespace.clone(), topic.to_owned())).into_iter().flatten()
        {
            if *present {
                rows.insert(row.clone());
            } else {
                rows.remove(row);
            }
        }
        Ok(rows.into_iter().collect())
    }
}
