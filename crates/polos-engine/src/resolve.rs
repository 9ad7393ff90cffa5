//! Outcomes of what was opened: a record in the journal, and the run wakes if that makes its wait
//! come true. All in one command.

use crate::engine::{Engine, Said};
use crate::error::Error;
use crate::journal::OpenWait;
use crate::live::Phase;
use polos_protocol::record::{Kind, ResolvedDetail};
use polos_protocol::rest::ApprovalState;
use polos_protocol::{Failure, RunId, State, StepKey, Value};
use polos_store::Read;
use polos_store::row::TimerKind;

/// How something opened ended.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) result: Result<Value, Failure>,
    pub(crate) detail: ResolvedDetail,
}

impl Outcome {
    pub(crate) fn timer() -> Self {
        Self::done("timer", Value::null())
    }

    pub(crate) fn done(by: &str, value: Value) -> Self {
        Self {
            result: Ok(value),
            detail: ResolvedDetail { by: by.to_owned(), ..ResolvedDetail::default() },
        }
    }

    pub(crate) fn failed(by: &str, failure: Failure) -> Self {
        Self {
            result: Err(failure),
            detail: ResolvedDetail { by: by.to_owned(), ..ResolvedDetail::default() },
        }
    }
}

impl Engine {
    /// Ends something opened. Nothing happens if it has an outcome already: each wait ends once.
    pub(crate) fn resolve(
        &mut self,
        id: RunId,
        key: &StepKey,
        outcome: Outcome,
        store: &dyn Read,
    ) -> Result<(), Error> {
        let Some(live) = self.runs.get(&id) else { return Ok(()) };
        let Some(open) = live.journal.opens.get(key).cloned() else { return Ok(()) };
        if live.run.status.state.is_ended() {
            return Ok(());
        }
        self.tidy(id, key, (&open, outcome.result.is_err()), store)?;
        let (value, error) = match outcome.result {
            Ok(value) => (Some(value), None),
            Err(failure) => (None, Some(failure)),
        };
        let mut said = Said::detail(&outcome.detail);
        (said.value, said.error) = (value, error);
        said.resolved = outcome.detail.position.is_some().then_some(outcome.detail);
        self.hold_back_if_true(id, key, said.error.is_some());
        self.say(id, Kind::Resolved, key.clone(), said);
        self.wake_if_true(id);
        Ok(())
    }

    /// Removes the rows that belonged to the wait.
    fn tidy(
        &mut self,
        id: RunId,
        key: &StepKey,
        (open, expired): (&OpenWait, bool),
        store: &dyn Read,
    ) -> Result<(), Error> {
        match open {
            OpenWait::Timer { .. } => self.delete_timer(id, TimerKind::Open, key),
            OpenWait::Event { topic, signal, deadline } => {
                if deadline.is_some() {
                    self.delete_timer(id, TimerKind::Deadline, key);
                }
                if !signal {
                    self.delete_waiter(id, topic, key);
                }
            }
            OpenWait::Approval { id: approval, deadline, .. } => {
                if deadline.is_some() {
                    self.delete_timer(id, TimerKind::Deadline, key);
                }
                if expired {
                    self.withdraw(id, *approval, ApprovalState::Expired, store)?;
                }
            }
            OpenWait::Child { .. } => {}
        }
        Ok(())
    }

    /// A hot run whose wait is about to come true takes its slots first; if they are taken, what
    /// comes is kept back until they are free.
    fn hold_back_if_true(&mut self, id: RunId, key: &StepKey, is_error: bool) {
        let now = self.now;
        let Some(live) = self.runs.get(&id) else { return };
        let Some(held) = live.held.as_ref() else { return };
        let Phase::Hot { wait } = &held.phase else { return };
        let leaf = if is_error {
            polos_protocol::wait::Leaf::Error
        } else {
            polos_protocol::wait::Leaf::Value
        };
        let comes_true = wait
            .is_true(now, &mut |asked| if asked == key { leaf } else { live.journal.leaf(asked) });
        if comes_true {
            self.go_on(id);
        }
    }

    /// Lets a hot run go on, now or as soon as its slots are free.
    pub(crate) fn go_on(&mut self, id: RunId) {
        if self.enter_slot(id) {
            return;
        }
        if let Some(held) = self.runs.get_mut(&id).and_then(|live| live.held.as_mut()) {
            held.phase = Phase::Resuming;
            self.resuming.push_back(id);
        }
    }

    /// A parked run goes on if what it waits for has come.
    pub(crate) fn wake_if_true(&mut self, id: RunId) {
        let now = self.now;
        let Some(live) = self.runs.get(&id) else { return };
        if live.run.status.state != State::Waiting || self.config.is_mutated("never_wake") {
            return;
        }
        if live.run.status.wait.as_ref().is_some_and(|wait| live.is_true(wait, now)) {
            self.wake(id);
        }
    }

    /// A parked run goes on.
    pub(crate) fn wake(&mut self, id: RunId) {
        let now = self.now;
        let Some(live) = self.runs.get_mut(&id) else { return };
        let for_person =
            live.journal.opens.values().any(|open| matches!(open, OpenWait::Approval { .. }))
                || live.run.status.why.as_ref().is_some_and(|why| why.contains("a person:"));
        if for_person {
            live.run.status.people_ms += now.saturating_sub(live.run.status.since_ms);
        }
        if live.run.status.wait.as_ref().is_some_and(|wait| wait.until_min().is_some()) {
            self.delete_timer(id, TimerKind::Until, &StepKey::run());
        }
        self.make_ready(id);
    }
}
