//! Cancel a run, which may clean up, or kill it, which runs no code.

use super::{Caller, wrong_state};
use crate::engine::Engine;
use crate::error::Error;
use crate::finish::{Cancel, End};
use crate::frame::Hold;
use crate::journal::OpenWait;
use polos_protocol::RunId;
use polos_protocol::rest::{CancelRequest, VerbResponse};
use polos_store::Read;
use polos_store::row::Cancelling;

impl Engine {
    pub(super) fn cancel_run(
        &mut self,
        caller: Caller<'_>,
        id: RunId,
        request: CancelRequest,
        store: &dyn Read,
    ) -> Result<VerbResponse, Error> {
        let status = &self.runs[&id].run.status;
        if status.state.is_ended() {
            return Err(wrong_state(id, status.state, "an ended run cannot be cancelled"));
        }
        if status.cancelling.is_some() {
            return Ok(self.done(id, "it is being cancelled already"));
        }
        let cancel =
            Cancel { by: caller.principal.to_owned(), reason: request.reason, code: "cancelled" };
        self.cancel(id, &cancel, store)?;
        let ended = self.runs.get(&id).is_some_and(|live| live.run.status.state.is_ended());
        let message = if ended {
            "it is ended; no worker was there to run its cleanup"
        } else {
            "the cancellation is raised at its next await; cleanup may run"
        };
        Ok(self.done(id, message))
    }

    pub(super) fn kill(
        &mut self,
        caller: Caller<'_>,
        id: RunId,
        request: &CancelRequest,
        store: &dyn Read,
    ) -> Result<VerbResponse, Error> {
        let status = &self.runs[&id].run.status;
        if status.state.is_ended() {
            return Err(wrong_state(id, status.state, "an ended run cannot be killed"));
        }
        let now = self.now;
        self.say_verb(id, "killed", caller.principal, request.reason.clone());
        self.kill_held(id, "a person killed the run");
        let mut children = Vec::new();
        if let Some(live) = self.runs.get_mut(&id) {
            let by = caller.principal.to_owned();
            live.run.status.cancelling = Some(Cancelling {
                by,
                reason: request.reason.clone(),
                code: "killed".to_owned(),
                at: now,
                deadline_ms: now,
            });
            children.extend(live.journal.opens.values().filter_map(|open| match open {
                OpenWait::Child { run, .. } => Some(*run),
                _ => None,
            }));
        }
        for child in children {
            if self.bring(caller.namespace, child, store)?
                && !self.runs[&child].run.status.state.is_ended()
            {
                self.kill(caller, child, request, store)?;
            }
        }
        self.finish(id, End::Cancelled, store)?;
        Ok(self.done(id, "it is ended; none of its code ran"))
    }

    /// Tells the worker that has a run to drop it.
    pub(crate) fn kill_held(&mut self, id: RunId, message: &str) {
        let Some(live) = self.runs.get(&id) else { return };
        let assignment = live.run.status.assignment;
        if let Some(worker) = live.held.as_ref().map(|held| held.worker) {
            self.revoke(Hold { worker, run: id, assignment }, "killed", message);
        }
    }
}
