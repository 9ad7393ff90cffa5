//! Retry from a step: that step and all after it are done again. What was recorded is superseded,
//! not deleted.

use super::{Caller, wrong_state};
use crate::engine::Engine;
use crate::error::{Class, Error};
use crate::finish::cancel_reason;
use crate::journal::OpenWait;
use polos_protocol::record::ResetDetail;
use polos_protocol::rest::{ApprovalState, RetryRequest, VerbResponse};
use polos_protocol::{RunId, State, StepKey};
use polos_store::Read;

impl Engine {
    pub(super) fn retry(
        &mut self,
        caller: Caller<'_>,
        id: RunId,
        request: RetryRequest,
        store: &dyn Read,
    ) -> Result<VerbResponse, Error> {
        let live = &self.runs[&id];
        let state = live.run.status.state;
        if state == State::Cancelled {
            return Err(wrong_state(id, state, "fork it instead: `polos runs fork`"));
        }
        let Some(key) = request.step.or_else(|| live.run.status.failed_step.clone()) else {
            let message = format!("run `{id}` has no failed step");
            return Err(Error::new(
                Class::Invalid,
                "no_step",
                message,
                "name the step: `--from STEP`",
            ));
        };
        let Some(from_seq) = live.journal.first_seq(&key) else {
            let message = format!("run `{id}` has no step `{key}`");
            return Err(Error::new(
                Class::NotFound,
                "no_step",
                message,
                format!("`polos runs show {id}` lists its steps"),
            ));
        };
        let intents = live.journal.intents_from(from_seq);
        if let Some(step) = intents.iter().find(|step| !request.again.contains(step)) {
            let message = format!("the `once` step `{step}` lies in the range and would act again");
            let hint = format!("if that is what you want, add `--again {step}`");
            return Err(Error::new(Class::Conflict, "once_in_range", message, hint));
        }
        self.stop_where_it_is(id);
        self.drop_opened_from(id, from_seq, store)?;
        let detail = ResetDetail {
            from_seq,
            from_key: key.clone(),
            only: false,
            again: request.again,
            key_generation: self.runs[&id].run.status.key_generation + u32::from(request.new_keys),
            by: caller.principal.to_owned(),
        };
        self.begin_again(id, detail);
        Ok(self.done(id, format!("it does `{key}` and all that follows again")))
    }

    fn begin_again(&mut self, id: RunId, detail: ResetDetail) {
        let Some(live) = self.runs.get_mut(&id) else { return };
        let status = &mut live.run.status;
        status.key_generation = detail.key_generation;
        status.blocked = None;
        status.error = None;
        status.failed_step = None;
        status.ended_ms = None;
        status.output = None;
        status.deaths = 0;
        self.reset(id, detail);
        self.make_ready(id);
    }

    /// Takes a run from its worker, its lane or its wait.
    fn stop_where_it_is(&mut self, id: RunId) {
        let Some(live) = self.runs.get(&id) else { return };
        match live.run.status.state {
            State::Running => {
                self.kill_held(id, "a person ordered a retry");
                self.take_back(id);
                self.part(id, self.parting_unheard());
            }
            State::Queued => {
                let run = live.run.clone();
                self.unready(&run);
            }
            _ => {}
        }
    }

    /// Children begun in the range are cancelled, questions asked there withdrawn.
    fn drop_opened_from(
        &mut self,
        id: RunId,
        from_seq: u64,
        store: &dyn Read,
    ) -> Result<(), Error> {
        let Some(live) = self.runs.get(&id) else { return Ok(()) };
        for (key, open) in live.journal.opened_from(from_seq) {
            match open {
                OpenWait::Child { run, .. } => {
                    self.cancel_child(
                        id,
                        run,
                        &cancel_reason("its parent was retried from before it"),
                        store,
                    )?;
                }
                OpenWait::Approval { id: approval, .. } => {
                    self.withdraw(id, approval, ApprovalState::Withdrawn, store)?;
                }
                OpenWait::Event { topic, signal: false, .. } => {
                    self.delete_waiter(id, &topic, &key);
                }
                _ => {}
            }
        }
        self.timers.delete_run(id);
        self.change(polos_store::Change::DeleteTimers(id));
        self.set_kept_timers(id, from_seq);
        Ok(())
    }

    /// Timers of waits that were opened before the range, and the run's own, go on.
    fn set_kept_timers(&mut self, id: RunId, from_seq: u64) {
        use polos_store::row::{TimerKind, TimerRow};
        let Some(live) = self.runs.get(&id) else { return };
        let row = live.run.row.clone();
        let dropped: Vec<StepKey> =
            live.journal.opened_from(from_seq).into_iter().map(|(key, _)| key).collect();
        let kept = live.journal.opens.iter().filter(|(key, _)| !dropped.contains(key));
        let mut timers: Vec<TimerRow> = kept
            .filter_map(|(key, open)| {
                let (at, kind) = match open {
                    OpenWait::Timer { at } => (*at, TimerKind::Open),
                    OpenWait::Event { deadline: Some(at), .. }
                    | OpenWait::Approval { deadline: Some(at), .. } => (*at, TimerKind::Deadline),
                    _ => return None,
                };
                Some(TimerRow {
                    at,
                    namespace: row.namespace.clone(),
                    run: id,
                    kind,
                    key: key.clone(),
                })
            })
            .collect();
        if let Some(at) = row.options.deadline_ms {
            let (namespace, key) = (row.namespace.clone(), StepKey::run());
            timers.push(TimerRow { at, namespace, run: id, kind: TimerKind::RunDeadline, key });
        }
        for timer in timers {
            self.put_timer(timer);
        }
    }
}
