//! What a worker's `open`, `emit` and `lost` records bring about, in the same command.

use crate::engine::Engine;
use crate::error::{Class, Error};
use crate::finish::cancel_reason;
use crate::journal::{Journal, OpenWait};
use crate::live::Live;
use crate::publish::Publication;
use crate::request::start::check_name;
use crate::resolve::Outcome;
use polos_protocol::record::{
    EmitDetail, Kind, NewRecord, Open, OpenApproval, OpenChild, OpenEvent,
};
use polos_protocol::rest::{Approval, ApprovalState};
use polos_protocol::{ApprovalId, DefinitionKind, Failure, RunId, StepKey, limits};
use polos_store::row::{ApprovalRow, Run, RunRow, RunStatus, TimerKind, TimerRow, WaiterRow};
use polos_store::{Change, Read};
use std::sync::Arc;

impl Engine {
    /// Does what a record asks for besides standing in the journal.
    pub(super) fn effect_of(
        &mut self,
        id: RunId,
        record: &NewRecord,
        store: &dyn Read,
    ) -> Result<(), Error> {
        match record.kind {
            Kind::Open => {
                let Ok(open) = record.detail::<Open>() else { return Ok(()) };
                self.open(id, &record.key, open, store)
            }
            Kind::Emit => self.emit(id, record, store),
            Kind::Lost => self.give_up(id, &record.key, record.after, store),
            _ => Ok(()),
        }
    }

    fn open(
        &mut self,
        id: RunId,
        key: &StepKey,
        open: Open,
        store: &dyn Read,
    ) -> Result<(), Error> {
        match open {
            Open::Timer { at } if at <= self.now => self.resolve(id, key, Outcome::timer(), store),
            Open::Timer { at } => {
                self.open_timer(id, key, at, TimerKind::Open);
                Ok(())
            }
            Open::Event(event) => self.open_event(id, key, &event, store),
            Open::Child(child) => self.open_child(id, key, child, store),
            Open::Approval(question) => {
                self.open_approval(id, key, question);
                Ok(())
            }
        }
    }

    fn open_timer(&mut self, id: RunId, key: &StepKey, at: u64, kind: TimerKind) {
        let Some(live) = self.runs.get(&id) else { return };
        let namespace = live.run.row.namespace.clone();
        self.put_timer(TimerRow { at, namespace, run: id, kind, key: key.clone() });
    }

    pub(crate) fn open_event(
        &mut self,
        id: RunId,
        key: &StepKey,
        event: &OpenEvent,
        store: &dyn Read,
    ) -> Result<(), Error> {
        if let Err(error) = check_name("topic", &event.topic) {
            let failure = Failure::new(error.code, error.message);
            return self.resolve(id, key, Outcome::failed("event", failure), store);
        }
        if let Some(at) = event.deadline_ms {
            self.open_timer(id, key, at, TimerKind::Deadline);
        }
        if event.signal {
            return self.take_signal(id, key, &event.topic, store);
        }
        if self.take_event(id, key, &event.topic, store)? {
            return Ok(());
        }
        let Some(live) = self.runs.get(&id) else { return Ok(()) };
        let namespace = live.run.row.namespace.clone();
        let row = WaiterRow { namespace, topic: event.topic.clone(), run: id, key: key.clone() };
        self.overlay.put_waiter(row.clone(), true);
        self.change(Change::PutWaiter(row));
        Ok(())
    }

    fn open_child(
        &mut self,
        id: RunId,
        key: &StepKey,
        child: OpenChild,
        store: &dyn Read,
    ) -> Result<(), Error> {
        let Some(live) = self.runs.get(&id) else { return Ok(()) };
        let parent = live.run.row.clone();
        let refusal = if parent.depth + 1 >= limits::DEPTH_MAX {
            Some(format!("runs may start runs {} deep at the most", limits::DEPTH_MAX))
        } else if live.journal.children > limits::CHILDREN_MAX {
            Some(format!("a run may have {} children at the most", limits::CHILDREN_MAX))
        } else {
            let checked = check_name("workflow", &child.workflow)
                .and_then(|()| self.check_options(&parent.namespace, &child.options, store));
            match checked {
                Err(error) if error.class == Class::Unavailable => return Err(error),
                checked => checked.err().map(|error| error.message),
            }
        };
        if let Some(message) = refusal {
            let failure = Failure::new("child_refused", message);
            return self.resolve(id, key, Outcome::failed("child", failure), store);
        }
        let child_id = match self.opened_child(id, key) {
            Some(child_id) => child_id,
            None => RunId::derived(id.bytes(), key.as_str()),
        };
        if self.bring(&parent.namespace, child_id, store)? {
            // Only a worker that makes up keys comes here.
            let failure =
                Failure::new("child_refused", format!("run `{child_id}` is there already"));
            return self.resolve(id, key, Outcome::failed("child", failure), store);
        }
        self.insert_child(&parent, child_id, key, child);
        Ok(())
    }

    /// The id of the child that stands under a key: attached ones stand open, detached ones derive.
    fn opened_child(&self, id: RunId, key: &StepKey) -> Option<RunId> {
        if let Some(OpenWait::Child { run, .. }) = self.opened(id, key) {
            return Some(*run);
        }
        let earlier = self.runs.get(&id)?.journal.earlier_opens(key).saturating_sub(1);
        Some(RunId::derived(id.bytes(), &OpenWait::name(key, earlier)))
    }

    fn insert_child(
        &mut self,
        parent: &Arc<RunRow>,
        child_id: RunId,
        key: &StepKey,
        child: OpenChild,
    ) {
        let mut options = child.options;
        options.placement = options.placement.or_else(|| parent.options.placement.clone());
        options.session = options.session.or(parent.options.session);
        options.traceparent = options.traceparent.or_else(|| parent.options.traceparent.clone());
        let definition = self.definition(&parent.namespace, &child.workflow);
        let queue = options.queue.clone().or_else(|| definition.and_then(|d| d.queue.clone()));
        let kind = definition.map_or(DefinitionKind::Workflow, |definition| definition.kind);
        let row = Arc::new(RunRow {
            namespace: parent.namespace.clone(),
            id: child_id,
            workflow: child.workflow,
            kind,
            input: child.input,
            start_key: None,
            seed: self.ids.seed().into(),
            root: parent.root,
            parent: Some(parent.id),
            parent_key: Some(key.clone()),
            detached: child.detached,
            depth: parent.depth + 1,
            queue: queue.unwrap_or_else(|| "default".to_owned()),
            options,
            principal: parent.principal.clone(),
            forked_from: None,
            created_ms: self.now,
        });
        self.insert_run(row);
    }

    /// A new run, ready to go.
    pub(crate) fn insert_run(&mut self, row: Arc<RunRow>) {
        let (id, namespace) = (row.id, row.namespace.clone());
        let deadline =
            [row.options.deadline_ms, row.options.timeout_ms.map(|ms| self.now.saturating_add(ms))]
                .into_iter()
                .flatten()
                .min();
        let status = RunStatus::queued(self.now);
        let live = Live::new(Run { row: row.clone(), status }, Journal::default());
        let ready = polos_store::read::ReadyRun::of(&live.run);
        self.insert(live);
        if let Some(parent) = row.parent {
            self.join_slot(parent, id);
        }
        if let Some(live) = self.runs.get(&id) {
            let status = Box::new(live.run.status.clone());
            self.change(Change::InsertRun(row, status));
        }
        if let Some(at) = deadline {
            let key = StepKey::run();
            self.put_timer(TimerRow {
                at,
                namespace: namespace.clone(),
                run: id,
                kind: TimerKind::RunDeadline,
                key,
            });
        }
        self.enqueue(&ready);
        self.changed(&namespace, id);
    }

    fn open_approval(&mut self, id: RunId, key: &StepKey, question: OpenApproval) {
        let Some(OpenWait::Approval { id: approval, .. }) = self.opened(id, key).cloned() else {
            return;
        };
        if let Some(at) = question.deadline_ms {
            self.open_timer(id, key, at, TimerKind::Deadline);
        }
        let Some(live) = self.runs.get(&id) else { return };
        let row = &live.run.row;
        self.put_approval(ApprovalRow {
            namespace: row.namespace.clone(),
            approval: Approval {
                id: approval,
                run: id,
                workflow: row.workflow.clone(),
                key: key.clone(),
                state: ApprovalState::Pending,
                question,
                created_ms: self.now,
                answer: None,
            },
        });
    }

    pub(crate) fn put_approval(&mut self, row: ApprovalRow) {
        self.overlay.put_approval(row.clone());
        self.change(Change::PutApproval(Box::new(row)));
    }

    /// An approval that nobody needs to answer any more.
    pub(crate) fn withdraw(
        &mut self,
        id: RunId,
        approval: ApprovalId,
        to: ApprovalState,
        store: &dyn Read,
    ) -> Result<(), Error> {
        let Some(namespace) = self.runs.get(&id).map(|live| live.run.row.namespace.clone()) else {
            return Ok(());
        };
        if let Some(mut row) = self.overlay.approval(&namespace, approval, store)?
            && row.approval.state == ApprovalState::Pending
        {
            row.approval.state = to;
            self.put_approval(row);
        }
        Ok(())
    }

    fn emit(&mut self, id: RunId, record: &NewRecord, store: &dyn Read) -> Result<(), Error> {
        let Ok(detail) = record.detail::<EmitDetail>() else { return Ok(()) };
        let Some(live) = self.runs.get(&id) else { return Ok(()) };
        let namespace = live.run.row.namespace.clone();
        let publication = Publication {
            topic: detail.topic,
            run: detail.run,
            key: None,
            payload: record.value.clone().unwrap_or_default(),
        };
        // A signal to a run that has ended is refused to a client; a run's own goes nowhere.
        match self.publish(&namespace, publication, store) {
            Err(error) if error.class == Class::Unavailable => Err(error),
            _ => Ok(()),
        }
    }

    /// The code gave up what stands under a key: a race was lost. What came for it after that is
    /// put back.
    fn give_up(
        &mut self,
        id: RunId,
        scope: &StepKey,
        after: u64,
        store: &dyn Read,
    ) -> Result<(), Error> {
        let Some(live) = self.runs.get_mut(&id) else { return Ok(()) };
        let given_up = live.journal.lost(scope);
        for (key, open) in given_up {
            match open {
                OpenWait::Timer { .. } => self.delete_timer(id, TimerKind::Open, &key),
                OpenWait::Event { topic, signal, deadline } => {
                    if deadline.is_some() {
                        self.delete_timer(id, TimerKind::Deadline, &key);
                    }
                    if !signal {
                        self.delete_waiter(id, &topic, &key);
                    }
                }
                OpenWait::Child { run, .. } => self.cancel_child(
                    id,
                    run,
                    &cancel_reason("its parent's race was won by another branch"),
                    store,
                )?,
                OpenWait::Approval { id: approval, deadline, .. } => {
                    if deadline.is_some() {
                        self.delete_timer(id, TimerKind::Deadline, &key);
                    }
                    self.withdraw(id, approval, ApprovalState::Withdrawn, store)?;
                }
            }
        }
        self.put_back(id, scope, after, store)
    }

    pub(crate) fn delete_waiter(&mut self, id: RunId, topic: &str, key: &StepKey) {
        let Some(live) = self.runs.get(&id) else { return };
        let namespace = live.run.row.namespace.clone();
        let row = WaiterRow { namespace, topic: topic.to_owned(), run: id, key: key.clone() };
        self.overlay.put_waiter(row.clone(), false);
        self.change(Change::DeleteWaiter(row));
    }
}
