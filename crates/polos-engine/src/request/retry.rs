//! Retry from a step: that step and all after it are done again. What was recorded is superseded,
//! not deleted.

use super::{Caller, wrong_state};
use crate::engine::Engine;
use crate::error::{Class, Error};
use crate::finish::cancel_reason;
use crate::journal::OpenWait;
use polos_protocol::record::{ResetDetail, ResolvedDetail};
use polos_protocol::rest::{ApprovalState, RetryRequest, VerbResponse};
use polos_protocol::{Millis, RunId, State, StepKey};
use polos_store::Read;
use polos_store::row::TimerKind;
use std::collections::BTreeMap;

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
        let once = live.journal.once_from(from_seq);
        if let Some(step) = once.iter().find(|step| !request.again.contains(step)) {
            let message = format!("the `once` step `{step}` lies in the range and would act again");
            let hint = format!("if that is what you want, add `--again {step}`");
            return Err(Error::new(Class::Conflict, "once_in_range", message, hint));
        }
        self.stop_where_it_is(id);
        self.drop_opened_from(id, (from_seq, &request.again), store)?;
        let detail = ResetDetail {
            from_seq,
            from_key: key.clone(),
            only: false,
            again: request.again,
            key_generation: self.runs[&id].run.status.key_generation + u32::from(request.new_keys),
            by: caller.principal.to_owned(),
        };
        self.begin_again(id, detail, store)?;
        if state.is_ended() {
            self.reopen(id, caller.principal, store)?;
        } else {
            self.set_kept_timers(id);
        }
        Ok(self.done(id, format!("it does `{key}` and all that follows again")))
    }

    fn begin_again(
        &mut self,
        id: RunId,
        detail: ResetDetail,
        store: &dyn Read,
    ) -> Result<(), Error> {
        let Some(live) = self.runs.get_mut(&id) else { return Ok(()) };
        let consumed = live.journal.consumed();
        let status = &mut live.run.status;
        // What was said of steps that are done again holds for the old ones only.
        status.settled.retain(|settled| !detail.again.contains(&settled.key));
        status.key_generation = detail.key_generation;
        status.blocked = None;
        status.error = None;
        status.failed_step = None;
        status.ended_ms = None;
        status.output = None;
        status.deaths = 0;
        self.reset(id, detail);
        if let Some(live) = self.runs.get_mut(&id)
            && !live.journal.is_cancelled()
        {
            live.run.status.cancelling = None;
        }
        self.make_ready(id);
        self.give_back_superseded(id, consumed, store)
    }

    /// Events and signals that the superseded part consumed come again, unless what stands has
    /// them.
    fn give_back_superseded(
        &mut self,
        id: RunId,
        consumed: Vec<(u64, ResolvedDetail)>,
        store: &dyn Read,
    ) -> Result<(), Error> {
        let Some(live) = self.runs.get(&id) else { return Ok(()) };
        let kept: Vec<ResolvedDetail> =
            live.journal.consumed().into_iter().map(|(_, detail)| detail).collect();
        let superseded = consumed
            .into_iter()
            .filter(|(seq, detail)| {
                live.journal.superseded().contains(*seq) && !kept.contains(detail)
            })
            .map(|(_, detail)| detail)
            .collect();
        // What a wait that is given up no more has taken is taken again.
        for detail in kept {
            self.take_again(id, &detail, store)?;
        }
        self.give_back_taken(id, superseded, store)
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
        (from_seq, again): (u64, &[StepKey]),
        store: &dyn Read,
    ) -> Result<(), Error> {
        let Some(live) = self.runs.get(&id) else { return Ok(()) };
        let mut opened: BTreeMap<StepKey, OpenWait> =
            live.journal.opened_from(from_seq).into_iter().collect();
        // The question about a `once` step may have been asked before the range.
        let all = live.journal.opened_from(0);
        opened.extend(all.into_iter().filter(|(key, _)| again.iter().any(|a| key.is_within(a))));
        for (key, open) in opened {
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
        Ok(())
    }

    /// Timers of waits that were opened before the range, and the run's own, go on.
    fn set_kept_timers(&mut self, id: RunId) {
        self.set_own_timers(id);
        let Some(live) = self.runs.get(&id) else { return };
        let timers: Vec<(StepKey, TimerKind, Millis)> = live
            .journal
            .opens
            .iter()
            .filter_map(|(key, open)| match open {
                OpenWait::Timer { at } => Some((key.clone(), TimerKind::Open, *at)),
                OpenWait::Event { deadline: Some(at), .. }
                | OpenWait::Approval { deadline: Some(at), .. } => {
                    Some((key.clone(), TimerKind::Deadline, *at))
                }
                _ => None,
            })
            .collect();
        for (key, kind, at) in timers {
            self.set_timer(id, key, kind, at);
        }
    }
}
