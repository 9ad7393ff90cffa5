//! What people and programs ask for: one file a request.

mod decide;
mod explain;
mod fork;
mod queue;
mod queued;
mod reopen;
mod resume;
mod retain;
mod retry;
mod session;
mod settle;
pub(crate) mod start;
mod stop;
mod workers;

use crate::engine::Engine;
use crate::error::{Class, Error};
use crate::input::Request;
use crate::output::Response;
use crate::publish::Publication;
use polos_protocol::rest::{Verb, VerbResponse};
use polos_protocol::{Namespace, RunId, State};
use polos_store::Read;

/// Who asks, and where.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Caller<'a> {
    pub(crate) namespace: &'a Namespace,
    pub(crate) principal: &'a str,
}

impl Engine {
    pub(crate) fn request(
        &mut self,
        namespace: &Namespace,
        principal: &str,
        request: Request,
        store: &dyn Read,
    ) -> Result<Response, Error> {
        let caller = Caller { namespace, principal };
        match request {
            Request::Start(request) => {
                self.start(caller, *request, None, store).map(Response::Started)
            }
            Request::StartWith(request, kept) => {
                self.start(caller, *request, Some(kept), store).map(Response::Started)
            }
            Request::Verb(run, verb) => self.verb(caller, run, verb, store).map(Response::Done),
            Request::Decide(id, request) => self
                .decide(caller, id, request, store)
                .map(|approval| Response::Decided(Box::new(approval))),
            Request::Publish(request) => {
                let payload = request.payload.into_value();
                let publication = Publication {
                    topic: request.topic,
                    run: request.run,
                    key: request.key,
                    payload,
                };
                self.publish(namespace, publication, store).map(Response::Published)
            }
            Request::PutQueue(config) => self.put_queue(caller, config, store).map(Response::Queue),
            Request::PauseQueue(name, paused) => {
                self.pause_queue(caller, &name, paused, store).map(Response::Queue)
            }
            Request::CreateSession(request) => {
                Ok(Response::Session(Box::new(self.create_session(caller, request))))
            }
            Request::DrainWorker(worker) => {
                self.drain_worker(caller, worker).map(|()| Response::Ok)
            }
            Request::Workers => Ok(Response::Workers(self.list_workers(namespace))),
            Request::Definitions => Ok(Response::Definitions(self.list_definitions(namespace))),
            Request::Explain(run) => self.explain(caller, run, store).map(Response::Why),
            Request::ExplainQueued(runs) => {
                Ok(Response::Whys(self.explain_queued(namespace, &runs)))
            }
            Request::Write(changes) => {
                for change in changes {
                    self.change(change);
                }
                Ok(Response::Ok)
            }
            Request::Retain(before) => self.retain(caller, before, store).map(Response::Deleted),
        }
    }

    fn verb(
        &mut self,
        caller: Caller<'_>,
        id: RunId,
        verb: Verb,
        store: &dyn Read,
    ) -> Result<VerbResponse, Error> {
        if !self.bring(caller.namespace, id, store)? {
            return Err(Error::not_found("run", id));
        }
        match verb {
            Verb::Cancel(request) => self.cancel_run(caller, id, request, store),
            Verb::Kill(request) => self.kill(caller, id, &request, store),
            Verb::Resume(request) => self.resume(caller, id, &request, store),
            Verb::Retry(request) => self.retry(caller, id, request, store),
            Verb::Fork(request) => self.fork(caller, id, request, store),
            Verb::Settle(request) => self.settle(caller, id, request, store),
        }
    }

    /// The answer to a verb.
    pub(crate) fn done(&self, id: RunId, message: impl Into<String>) -> VerbResponse {
        let state = self.runs.get(&id).map_or(State::Queued, |live| live.run.status.state);
        VerbResponse { id, state, message: message.into() }
    }
}

/// The run is not in a state for this.
pub(crate) fn wrong_state(id: RunId, state: State, hint: impl Into<String>) -> Error {
    Error::new(Class::Conflict, "wrong_state", format!("run `{id}` is {}", state.name()), hint)
}
