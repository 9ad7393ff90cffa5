//! Resume a blocked or failed run, from the step that failed.

use super::{Caller, wrong_state};
use crate::engine::{Engine, Said};
use crate::error::Error;
use crate::journal::OpenWait;
use polos_protocol::record::{Kind, ResetDetail};
use polos_protocol::rest::{ResumeRequest, VerbResponse};
use polos_protocol::{RunId, State, StepKey};
use polos_store::Read;
use polos_store::read::ReadyRun;

impl Engine {
    pub(super) fn resume(
        &mut self,
        caller: Caller<'_>,
        id: RunId,
        request: &ResumeRequest,
        store: &dyn Read,
    ) -> Result<VerbResponse, Error> {
        let state = self.runs[&id].run.status.state;
        if request.any_build && matches!(state, State::Queued | State::Waiting) {
            return Ok(self.let_any_build(id, caller.principal));
        }
        if !matches!(state, State::Blocked | State::Failed) {
            let hint = "only blocked and failed runs resume; `polos runs retry` does steps of others again";
            return Err(wrong_state(id, state, hint));
        }
        self.resume_failed_child(caller, id, request, store)?;
        self.say_verb(id, "resumed", caller.principal, None);
        self.take_back_failed_step(id, caller.principal);
        let live = self.runs.get_mut(&id);
        if let Some(live) = live {
            let status = &mut live.run.status;
            let blocked = status.blocked.take();
            status.error = None;
            status.failed_step = None;
            status.ended_ms = None;
            status.deaths = 0;
            status.alone = false;
            status.any_build |= request.any_build;
            if request.accept
                && let Some(step) = blocked.and_then(|blocked| blocked.step)
            {
                status.accepted.push(StepKey::from_recorded(&step));
            }
        }
        self.make_ready(id);
        if state.is_ended() {
            self.reopen(id, caller.principal, store)?;
        }
        Ok(self.done(id, "it goes on from the step that failed"))
    }

    /// A run that waits, perhaps for a worker of a newer build, may go to one of any build.
    fn let_any_build(&mut self, id: RunId, by: &str) -> VerbResponse {
        self.say_verb(id, "resumed", by, Some("by a worker of any build".to_owned()));
        let queued = self.runs.get(&id).map(|live| live.run.clone());
        let queued = queued.filter(|run| run.status.state == State::Queued);
        if let Some(run) = &queued {
            self.unready(run);
        }
        if let Some(live) = self.runs.get_mut(&id) {
            live.run.status.any_build = true;
        }
        self.mark_dirty(id);
        if let Some(mut run) = queued {
            run.status.any_build = true;
            self.enqueue(&ReadyRun::of(&run));
        }
        self.done(id, "a worker of any build may take it")
    }

    /// The records of the step that failed are superseded, so that it runs again; all others stay.
    fn take_back_failed_step(&mut self, id: RunId, by: &str) {
        let Some(live) = self.runs.get(&id) else { return };
        let Some(key) = live.run.status.failed_step.clone() else { return };
        let Some(from_seq) = live.journal.failed_seq(&key) else { return };
        match self.waited_for(id, &key) {
            // An outcome that a child gave is superseded, not the child: it is resumed by itself.
            Some(OpenWait::Child { run, .. }) if self.may_end_again(run) => {
                self.reset_only(id, key, from_seq, by);
            }
            // The intent of a `once` step stands: it may have acted.
            None if live.journal.is_intended(&key) => self.reset_only(id, key, from_seq, by),
            // A step has all its attempts again. What timed out or was cancelled is opened anew:
            // nothing would come for it any more.
            _ => self.take_back_key(id, key, by),
        }
    }

    /// What the code opened under a key, with its outcome or not.
    fn waited_for(&self, id: RunId, key: &StepKey) -> Option<OpenWait> {
        let opened = self.runs.get(&id)?.journal.opened_from(0);
        opened.into_iter().find_map(|(at, open)| (at == *key).then_some(open))
    }

    /// Appends a reset.
    pub(super) fn reset(&mut self, id: RunId, detail: ResetDetail) {
        let said = Said::detail(&detail);
        let said = Said { reset: Some(detail), ..said };
        self.say(id, Kind::Reset, StepKey::run(), said);
    }

    /// Resuming a parent resumes the failed child it fell over.
    fn resume_failed_child(
        &mut self,
        caller: Caller<'_>,
        id: RunId,
        request: &ResumeRequest,
        store: &dyn Read,
    ) -> Result<(), Error> {
        let Some(live) = self.runs.get(&id) else { return Ok(()) };
        let Some(key) = live.run.status.failed_step.clone() else { return Ok(()) };
        if let Some(OpenWait::Child { run: child, .. }) = self.waited_for(id, &key)
            && self.bring(caller.namespace, child, store)?
            && matches!(self.runs[&child].run.status.state, State::Failed | State::Blocked)
        {
            self.resume(caller, child, request, store)?;
        }
        Ok(())
    }
}
