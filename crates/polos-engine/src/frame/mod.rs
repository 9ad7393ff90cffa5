//! What workers say: one file a frame, and the worker's own comings and goings.

mod accept;
mod block;
mod busy;
mod complete;
mod connect;
mod fail;
mod liveness;
mod more;
mod open;
mod park;
mod record;
mod reference;
mod stream;
mod wait;

use crate::engine::{Engine, Parting};
use crate::error::Error;
use crate::input::ConnectionId;
use polos_protocol::frame::{Fatal, FromServer, FromWorker, Revoked, RunRef};
use polos_protocol::{Namespace, RunId, WorkerId};
use polos_store::Read;

/// A run in the hands of the worker that speaks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Hold {
    pub(crate) worker: WorkerId,
    pub(crate) run: RunId,
    pub(crate) assignment: u64,
}

impl Engine {
    /// Takes in a frame. One of an older connection is dropped.
    pub(crate) fn frame(
        &mut self,
        connection: ConnectionId,
        frame: FromWorker,
        store: &dyn Read,
    ) -> Result<(), Error> {
        let Some(worker) = self.connections.get(&connection).copied() else { return Ok(()) };
        let now = self.now;
        let Some(entry) = self.workers.get_mut(&worker) else { return Ok(()) };
        if entry.connection != Some(connection) {
            return Ok(());
        }
        entry.heard_at = now;
        let namespace = entry.namespace.clone();
        let outcome = self.dispatch_frame(worker, &namespace, frame, store);
        self.seal(&namespace);
        outcome
    }

    fn dispatch_frame(
        &mut self,
        worker: WorkerId,
        namespace: &Namespace,
        frame: FromWorker,
        store: &dyn Read,
    ) -> Result<(), Error> {
        match frame {
            FromWorker::Record(request) => self.record(worker, request, store),
            FromWorker::Accept(of) => {
                self.accept(Hold { worker, run: of.run, assignment: of.assignment });
                Ok(())
            }
            FromWorker::Wait(request) => self.wait(worker, request, store),
            FromWorker::Park(request) => self.park_request(worker, request, store),
            FromWorker::Complete(request) => self.complete(worker, request, store),
            FromWorker::Fail(request) => self.fail(worker, request, store),
            FromWorker::Block(request) => {
                self.block_request(worker, request);
                Ok(())
            }
            FromWorker::Release(of) => {
                self.release(Hold { worker, run: of.run, assignment: of.assignment });
                Ok(())
            }
            FromWorker::Busy(request) => {
                self.busy(worker, &request);
                Ok(())
            }
            FromWorker::Stream(request) => self.stream(worker, namespace, request, store),
            FromWorker::More(request) => {
                self.more(worker, &request);
                Ok(())
            }
            FromWorker::Drain(_) => {
                self.drain(worker);
                Ok(())
            }
            FromWorker::Pong(_) => Ok(()),
            FromWorker::Hello(_)
            | FromWorker::Fetch(_)
            | FromWorker::Store(_)
            | FromWorker::Replayed(_) => {
                self.end_connection(worker, "out_of_order", "this frame does not belong here");
                Ok(())
            }
        }
    }

    /// True if the worker has this run under this assignment; if not, it is told to drop it.
    pub(crate) fn check_hold(&mut self, hold: Hold) -> bool {
        let skip = self.config.is_mutated("skip_assignment_check");
        let good = self.runs.get(&hold.run).is_some_and(|live| {
            let held = live.held.as_ref();
            skip && held.is_some()
                || live.run.status.assignment == hold.assignment
                    && held.is_some_and(|h| h.worker == hold.worker)
        });
        if !good {
            let message = "the run went elsewhere, or has ended";
            self.revoke(hold, "stale", message);
        }
        good
    }

    /// Tells a worker to drop a run.
    pub(crate) fn revoke(&mut self, hold: Hold, code: &str, message: &str) {
        let Hold { worker, run, assignment } = hold;
        let revoked =
            Revoked { run, assignment, code: code.to_owned(), message: message.to_owned() };
        self.send(worker, FromServer::Revoked(revoked));
    }

    /// Ends a worker's connection because of what it said.
    pub(crate) fn end_connection(&mut self, worker: WorkerId, code: &str, message: &str) {
        let Some(connection) = self.workers.get(&worker).and_then(|worker| worker.connection)
        else {
            return;
        };
        let fatal = Fatal {
            code: code.to_owned(),
            message: message.to_owned(),
            hint: "the worker's SDK and this server may be of different versions".to_owned(),
        };
        self.send(worker, FromServer::Error(fatal));
        self.close_connection(connection);
    }

    /// A run is given back whole: nothing of it runs there any more.
    fn release(&mut self, hold: Hold) {
        if self.check_hold(hold) {
            let done = RunRef { run: hold.run, assignment: hold.assignment };
            self.send(hold.worker, FromServer::Done(done));
            self.give_back(hold.run, Parting::Clean);
        }
    }

    fn drain(&mut self, worker: WorkerId) {
        if let Some(worker) = self.workers.get_mut(&worker) {
            worker.draining = true;
        }
    }
}
