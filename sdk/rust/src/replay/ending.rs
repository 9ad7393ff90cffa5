//! How a run leaves this process: completed, failed, blocked or given back. What was said is said
//! again after a re-attachment, until the server answers.

use crate::replay::blobs::fits_inline;
use crate::replay::{Machine, RequestId};
use polos_protocol::failure::codes;
use polos_protocol::frame::{BlockRequest, CompleteRequest, FailRequest, FromWorker, RunRef};
use polos_protocol::{Blocked, Failure, StepKey, Value};

/// Where the run stands in this process.
#[derive(Debug)]
pub(crate) enum Phase {
    /// Pages of the journal are still to come.
    Loading,
    /// The code runs or waits.
    Running,
    /// The output is being stored.
    Storing,
    /// The server has been told, and has not answered.
    Ending(Box<Ending>),
    /// Nothing is left to do.
    Gone,
}

#[derive(Debug, Clone)]
pub(crate) enum Ending {
    Complete(Value),
    Fail(Failure, Option<StepKey>),
    Block(Blocked),
    Release,
}

impl Machine {
    /// The code has ended with an output.
    pub fn complete(&mut self, value: Value) {
        if !self.is_running() || !self.admit_orphans() {
            return;
        }
        self.stop_all();
        if fits_inline(&value) {
            self.end(Ending::Complete(value));
        } else {
            self.phase = Phase::Storing;
            self.store_output(value);
        }
    }

    /// An error has left the code, from a step if `step` says so.
    pub fn fail(&mut self, error: Failure, step: Option<StepKey>) {
        let is_cancelled = self.cancel.is_some();
        if !self.is_running() || (!is_cancelled && !self.admit_orphans()) {
            return;
        }
        self.end(Ending::Fail(error, step));
    }

    /// The run cannot go on without a person.
    pub fn block(&mut self, blocked: Blocked) {
        if matches!(self.phase, Phase::Loading | Phase::Running) {
            self.end(Ending::Block(blocked));
        }
    }

    /// The code misused its context.
    pub fn block_misuse(&mut self, message: String, hint: &str) {
        self.block(Blocked {
            code: codes::MISUSE.to_owned(),
            message,
            hint: hint.to_owned(),
            step: None,
            difference: None,
            failure: None,
            since: 0,
        });
    }

    pub(crate) fn block_unreadable(&mut self, cause: &serde_json::Error) {
        self.block_misuse(
            format!("a record of this run cannot be read or written by this build: {cause}"),
            "start a worker of the version that wrote it, then `polos runs resume RUN`",
        );
    }

    /// Gives the run back whole: another worker goes on with it from its journal.
    pub fn give_back(&mut self) {
        if matches!(self.phase, Phase::Loading | Phase::Running) {
            self.end(Ending::Release);
        }
    }

    pub(crate) fn end(&mut self, ending: Ending) {
        self.stop_all();
        self.waiting = None;
        self.phase = Phase::Ending(Box::new(ending));
        if self.wire.can_send() {
            self.repeat_ending();
        }
    }

    pub(crate) fn repeat_ending(&mut self) {
        let Phase::Ending(ending) = &self.phase else { return };
        let RunRef { run, assignment } = self.run_ref();
        let n = self.wire.n();
        let frame = match (**ending).clone() {
            Ending::Complete(value) => {
                FromWorker::Complete(CompleteRequest { run, assignment, n, value })
            }
            Ending::Fail(error, step) => {
                FromWorker::Fail(FailRequest { run, assignment, n, error, step })
            }
            Ending::Block(blocked) => {
                FromWorker::Block(BlockRequest { run, assignment, n, blocked })
            }
            Ending::Release => FromWorker::Release(self.run_ref()),
        };
        self.frame(frame);
    }

    /// The failed step that an uncaught error came from, if the code still had it.
    pub fn key_of(&self, id: RequestId) -> Option<StepKey> {
        self.requests.get(&id).map(|request| request.key.clone())
    }
}
