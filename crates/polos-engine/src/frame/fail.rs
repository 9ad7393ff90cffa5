//! `fail`: an error has left a run's code uncaught. A root run blocks and a child fails, unless its
//! definition says otherwise or trying again cannot help.

use super::Hold;
use crate::engine::{Engine, Parting};
use crate::error::Error;
use crate::finish::End;
use polos_protocol::failure::codes;
use polos_protocol::frame::{FailRequest, FromServer, RunRef};
use polos_protocol::{Blocked, Failure, OnError, RunId, WorkerId};
use polos_store::Read;

impl Engine {
    pub(super) fn fail(
        &mut self,
        worker: WorkerId,
        request: FailRequest,
        store: &dyn Read,
    ) -> Result<(), Error> {
        let hold = Hold { worker, run: request.run, assignment: request.assignment };
        if !self.check_hold(hold) || !self.has_all(hold, request.n) {
            return Ok(());
        }
        let id = hold.run;
        let cancelling =
            self.runs.get(&id).is_some_and(|live| live.run.status.cancelling.is_some());
        if cancelling && request.error.code == "cancelled" {
            self.finish(id, End::Cancelled, store)?;
        } else if self.fails(worker, id, &request.error) {
            self.set_failed_step(id, &request);
            self.finish(id, End::Failed(request.error), store)?;
        } else {
            self.set_failed_step(id, &request);
            self.block(id, uncaught(id, &request), Parting::Clean);
        }
        self.send(worker, FromServer::Done(RunRef { run: id, assignment: hold.assignment }));
        Ok(())
    }

    fn set_failed_step(&mut self, id: RunId, request: &FailRequest) {
        if let Some(live) = self.runs.get_mut(&id) {
            live.run.status.failed_step.clone_from(&request.step);
            live.run.status.error = Some(request.error.clone());
        }
    }

    fn fails(&self, worker: WorkerId, id: RunId, error: &Failure) -> bool {
        let Some(live) = self.runs.get(&id) else { return true };
        let definition =
            self.workers.get(&worker).and_then(|w| w.definitions.get(&live.run.row.workflow));
        match definition.and_then(|definition| definition.on_error) {
            _ if error.terminal => true,
            Some(OnError::Fail) => true,
            Some(OnError::Block) => false,
            None => live.run.row.parent.is_some(),
        }
    }
}

fn uncaught(id: RunId, request: &FailRequest) -> Blocked {
    Blocked {
        code: codes::UNCAUGHT_ERROR.to_owned(),
        message: format!("an error was not caught: {}", request.error.message),
        hint: format!("mend the cause, then `polos runs resume {id}`"),
        step: request.step.as_ref().map(ToString::to_string),
        difference: None,
        failure: Some(request.error.clone()),
        since: 0,
    }
}
