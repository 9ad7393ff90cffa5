//! The end of a run, in one command: its row, its children, its questions, and its parent's record.

use crate::engine::{Engine, Said};
use crate::error::Error;
use crate::journal::OpenWait;
use crate::resolve::Outcome;
use polos_protocol::record::Kind;
use polos_protocol::rest::ApprovalState;
use polos_protocol::{Failure, RunId, State, StepKey, Value};
use polos_store::row::{Cancelling, TimerKind, TimerRow};
use polos_store::{Change, Read};

/// How a run ends.
#[derive(Debug)]
pub(crate) enum End {
    Completed(Value),
    Failed(Failure),
    Cancelled,
}

/// Why a run is cancelled by the engine itself.
pub(crate) fn cancel_reason(reason: &str) -> Cancel {
    Cancel { by: "engine".to_owned(), reason: Some(reason.to_owned()), code: "cancelled" }
}

/// A cancellation.
#[derive(Debug, Clone)]
pub(crate) struct Cancel {
    pub(crate) by: String,
    pub(crate) reason: Option<String>,
    pub(crate) code: &'static str,
}

/// The error with which a cancelled run ends, and which is raised in it.
fn cancelled(code: &str, by: &str, reason: Option<&str>) -> Failure {
    let verb = if code == "killed" { "killed" } else { "cancelled" };
    let reason = reason.map(|reason| format!(": {reason}")).unwrap_or_default();
    Failure::new(code, format!("{verb} by {by}{reason}"))
}

impl Engine {
    /// Ends a run in memory. The first end wins.
    pub(crate) fn finish(&mut self, id: RunId, end: End, store: &dyn Read) -> Result<(), Error> {
        let Some(live) = self.runs.get(&id) else { return Ok(()) };
        if live.run.status.state.is_ended() {
            return Ok(());
        }
        let row = live.run.row.clone();
        let was_queued = live.run.status.state == State::Queued;
        if was_queued {
            let run = live.run.clone();
            self.unready(&run);
        }
        self.take_back(id);
        self.give_slot_up(id);
        if self.config.is_mutated("leak_slot") {
            let key = row.options.concurrency_key.as_deref();
            self.schedule.queue(&row.namespace, &row.queue).take(id, id, key);
        }
        let outcome = self.write_end(id, end);
        self.close_opens(id, store)?;
        if let (Some(parent), Some(key), false) = (row.parent, &row.parent_key, row.detached)
            && !self.config.is_mutated("parent_not_told")
            && self.bring(&row.namespace, parent, store)?
            && self.is_child_under(parent, key, id)
        {
            self.resolve(parent, key, outcome, store)?;
        }
        Ok(())
    }

    /// True if this very child stands open under the key: after a retry it may be another.
    fn is_child_under(&self, parent: RunId, key: &StepKey, child: RunId) -> bool {
        matches!(self.opened(parent, key), Some(OpenWait::Child { run, .. }) if *run == child)
    }

    fn write_end(&mut self, id: RunId, end: End) -> Outcome {
        let now = self.now;
        let Some(live) = self.runs.get_mut(&id) else { return Outcome::timer() };
        let status = &mut live.run.status;
        status.since_ms = now;
        status.ended_ms = Some(now);
        status.wait = None;
        status.why = None;
        status.blocked = None;
        status.settled.clear();
        let outcome = match end {
            End::Completed(value) => {
                status.state = State::Completed;
                status.output = Some(value.clone());
                status.error = None;
                Outcome::done("child", value)
            }
            End::Failed(failure) => {
                status.state = State::Failed;
                status.error = Some(failure.clone());
                Outcome::failed("child", failure)
            }
            End::Cancelled => {
                status.state = State::Cancelled;
                let failure = status.cancelling.as_ref().map_or_else(
                    || Failure::new("cancelled", "cancelled"),
                    |c| cancelled(&c.code, &c.by, c.reason.as_deref()),
                );
                status.error = Some(failure.clone());
                Outcome::failed("child", failure)
            }
        };
        self.mark_dirty(id);
        outcome
    }

    /// Withdraws and cancels what the run has open, and removes its timers.
    fn close_opens(&mut self, id: RunId, store: &dyn Read) -> Result<(), Error> {
        let Some(live) = self.runs.get(&id) else { return Ok(()) };
        let options = &live.run.row.options;
        let has_timers = options.deadline_ms.is_some()
            || options.timeout_ms.is_some()
            || live.run.status.cancelling.is_some()
            || !live.journal.opens.is_empty();
        let opens: Vec<(StepKey, OpenWait)> =
            live.journal.opens.iter().map(|(key, open)| (key.clone(), open.clone())).collect();
        if has_timers {
            self.timers.delete_run(id);
            self.change(Change::DeleteTimers(id));
        }
        for (key, open) in opens {
            match open {
                OpenWait::Event { topic, signal: false, .. } => {
                    self.delete_waiter(id, &topic, &key);
                }
                OpenWait::Approval { id: approval, .. } => {
                    self.withdraw(id, approval, ApprovalState::Withdrawn, store)?;
                }
                OpenWait::Child { run, .. } => {
                    self.cancel_child(id, run, &cancel_reason("its parent has ended"), store)?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Cancels a child that is still going.
    pub(crate) fn cancel_child(
        &mut self,
        parent: RunId,
        child: RunId,
        cancel: &Cancel,
        store: &dyn Read,
    ) -> Result<(), Error> {
        let Some(namespace) = self.runs.get(&parent).map(|live| live.run.row.namespace.clone())
        else {
            return Ok(());
        };
        if self.bring(&namespace, child, store)? {
            self.cancel(child, cancel, store)?;
        }
        Ok(())
    }

    /// Begins the cancellation of a run in memory: a journal entry at a position, raised at the next
    /// await. Its attached children are cancelled too. A run that no code is running for ends here.
    pub(crate) fn cancel(
        &mut self,
        id: RunId,
        cancel: &Cancel,
        store: &dyn Read,
    ) -> Result<(), Error> {
        let now = self.now;
        let Some(live) = self.runs.get_mut(&id) else { return Ok(()) };
        if live.run.status.state.is_ended() || live.run.status.cancelling.is_some() {
            return Ok(());
        }
        let deadline_ms = now + self.config.cleanup_ms;
        live.run.status.cancelling = Some(Cancelling {
            by: cancel.by.clone(),
            reason: cancel.reason.clone(),
            code: cancel.code.to_owned(),
            at: now,
            deadline_ms,
        });
        let state = live.run.status.state;
        let has_run = live.run.status.started_ms.is_some();
        let children: Vec<RunId> = live.journal.opens.values().filter_map(child_of).collect();
        let row = live.run.row.clone();
        self.mark_dirty(id);
        let hot = self.is_hot(id);
        if hot {
            self.go_on(id);
        }
        let error = cancelled(cancel.code, &cancel.by, cancel.reason.as_deref());
        let said = Said { error: Some(error), ..Said::default() };
        if !self.config.is_mutated("cancel_not_journaled") {
            self.say(id, Kind::Cancel, StepKey::run(), said);
        }
        for child in children {
            self.cancel_child(id, child, cancel, store)?;
        }
        let can_run = self.workers.values().any(|w| {
            w.namespace == row.namespace
                && w.connection.is_some()
                && w.definitions.contains_key(&row.workflow)
        });
        if !has_run || !can_run && state != State::Running {
            return self.finish(id, End::Cancelled, store);
        }
        let (key, kind) = (StepKey::run(), TimerKind::Cleanup);
        self.put_timer(TimerRow {
            at: deadline_ms,
            namespace: row.namespace.clone(),
            run: id,
            kind,
            key,
        });
        match state {
            State::Waiting => self.wake(id),
            State::Blocked => {
                if let Some(live) = self.runs.get_mut(&id) {
                    live.run.status.blocked = None;
                }
                self.make_ready(id);
            }
            _ => {}
        }
        Ok(())
    }

    fn is_hot(&self, id: RunId) -> bool {
        let held = self.runs.get(&id).and_then(|live| live.held.as_ref());
        held.is_some_and(|held| matches!(held.phase, crate::live::Phase::Hot { .. }))
    }
}

fn child_of(open: &OpenWait) -> Option<RunId> {
    match open {
        OpenWait::Child { run, detached: false, .. } => Some(*run),
        _ => None,
    }
}
