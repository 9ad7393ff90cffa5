//! `block`: a run cannot go on without a person.

use super::Hold;
use crate::engine::{Engine, Parting};
use polos_protocol::failure::codes;
use polos_protocol::frame::{BlockRequest, FromServer, RunRef};
use polos_protocol::{Blocked, RunId, State, WorkerId};

impl Engine {
    pub(super) fn block_request(&mut self, worker: WorkerId, request: BlockRequest) {
        let hold = Hold { worker, run: request.run, assignment: request.assignment };
        if !self.check_hold(hold) || !self.has_all(hold, request.n) {
            return;
        }
        self.block(hold.run, request.blocked, Parting::Clean);
        self.send(worker, FromServer::Done(RunRef { run: hold.run, assignment: hold.assignment }));
    }

    /// Blocks a run in memory, wherever it is. Its slot comes free unless its queue holds it.
    pub(crate) fn block(&mut self, id: RunId, mut blocked: Blocked, parting: Parting) {
        let now = self.now;
        self.take_back(id);
        self.part(id, parting);
        self.say_verb(id, "blocked", "engine", Some(blocked.message.clone()));
        let Some(live) = self.runs.get_mut(&id) else { return };
        blocked.since = now;
        let status = &mut live.run.status;
        status.state = State::Blocked;
        status.since_ms = now;
        status.wait = None;
        status.why = Some(blocked.message.clone());
        status.blocked = Some(blocked);
        self.mark_dirty(id);
    }

    /// A worker said what cannot be: the run leaves it and waits for a person.
    pub(super) fn revoke_invalid(&mut self, hold: Hold, message: &str) {
        self.revoke(hold, "invalid", message);
        self.block(hold.run, invalid(hold.run, message), self.parting_unheard());
    }
}

fn invalid(id: RunId, message: &str) -> Blocked {
    Blocked {
        code: codes::MISUSE.to_owned(),
        message: format!("the worker sent what does not fit the journal: {message}"),
        hint: format!("check the worker's SDK version, then `polos runs resume {id}`"),
        step: None,
        difference: None,
        failure: None,
        since: 0,
    }
}
