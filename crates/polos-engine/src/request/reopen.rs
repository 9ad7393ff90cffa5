//! What the end of a run took from it, given back when a person lets it go on: timers, waiters and
//! questions of waits that its journal still holds open. Children that ended with it begin anew.

use crate::engine::Engine;
use crate::error::Error;
use crate::journal::OpenWait;
use polos_protocol::record::{OpenEvent, ResetDetail};
use polos_protocol::rest::ApprovalState;
use polos_protocol::{ApprovalId, Millis, RunId, State, StepKey};
use polos_store::Read;
use polos_store::row::{TimerKind, TimerRow};

impl Engine {
    /// Opens again what stands open in the journal of a run that had ended. The run itself goes on
    /// already.
    pub(super) fn reopen(&mut self, id: RunId, by: &str, store: &dyn Read) -> Result<(), Error> {
        self.set_own_timers(id);
        let Some(live) = self.runs.get(&id) else { return Ok(()) };
        let opens: Vec<(StepKey, OpenWait)> =
            live.journal.opens.iter().map(|(key, open)| (key.clone(), open.clone())).collect();
        for (key, open) in opens {
            match open {
                OpenWait::Timer { at } => self.set_timer(id, key, TimerKind::Open, at),
                OpenWait::Event { topic, signal, deadline } => {
                    let event = OpenEvent { topic, signal, deadline_ms: deadline };
                    self.open_event(id, &key, &event, store)?;
                }
                OpenWait::Approval { id: approval, deadline, .. } => {
                    if let Some(at) = deadline {
                        self.set_timer(id, key, TimerKind::Deadline, at);
                    }
                    self.ask_again(id, approval, store)?;
                }
                OpenWait::Child { .. } => self.take_back_key(id, key, by),
            }
        }
        Ok(())
    }

    /// The run's own limits. One that passed while the run stood still does not end it at once: a
    /// person has ordered it to go on.
    pub(super) fn set_own_timers(&mut self, id: RunId) {
        let Some(live) = self.runs.get(&id) else { return };
        let now = self.now;
        let (row, status) = (live.run.row.clone(), &live.run.status);
        let by_timeout = row
            .options
            .timeout_ms
            .map(|ms| row.created_ms.saturating_add(ms).saturating_add(status.people_ms));
        let limit = [row.options.deadline_ms, by_timeout].into_iter().flatten().min();
        let cleanup_ends = now.saturating_add(self.config.cleanup_ms);
        let cleans_up = status.cancelling.is_some();
        if let Some(at) = limit.filter(|at| *at > now) {
            self.set_timer(id, StepKey::run(), TimerKind::RunDeadline, at);
        }
        if cleans_up {
            self.set_timer(id, StepKey::run(), TimerKind::Cleanup, cleanup_ends);
        }
    }

    pub(super) fn set_timer(&mut self, run: RunId, key: StepKey, kind: TimerKind, at: Millis) {
        let Some(live) = self.runs.get(&run) else { return };
        let namespace = live.run.row.namespace.clone();
        self.put_timer(TimerRow { at, namespace, run, kind, key });
    }

    /// Supersedes all that stands under one key, so that the code asks for it anew.
    pub(super) fn take_back_key(&mut self, id: RunId, key: StepKey, by: &str) {
        let Some(live) = self.runs.get(&id) else { return };
        let Some(from_seq) = live.journal.first_seq(&key) else { return };
        self.reset_only(id, key, from_seq, by);
    }

    /// Supersedes what stands under one key from a place on.
    pub(super) fn reset_only(&mut self, id: RunId, key: StepKey, from_seq: u64, by: &str) {
        let Some(live) = self.runs.get(&id) else { return };
        let detail = ResetDetail {
            from_seq,
            from_key: key,
            only: true,
            again: Vec::new(),
            key_generation: live.run.status.key_generation,
            by: by.to_owned(),
        };
        self.reset(id, detail);
    }

    fn ask_again(
        &mut self,
        id: RunId,
        approval: ApprovalId,
        store: &dyn Read,
    ) -> Result<(), Error> {
        let Some(live) = self.runs.get(&id) else { return Ok(()) };
        let namespace = live.run.row.namespace.clone();
        if let Some(mut row) = self.overlay.approval(&namespace, approval, store)?
            && row.approval.state == ApprovalState::Withdrawn
        {
            row.approval.state = ApprovalState::Pending;
            self.put_approval(row);
        }
        Ok(())
    }

    /// True if the child goes on, or may be made to, and will give its parent another outcome.
    pub(super) fn may_end_again(&self, child: RunId) -> bool {
        self.runs.get(&child).is_some_and(|live| {
            let state = live.run.status.state;
            !state.is_ended() || state == State::Failed
        })
    }
}
