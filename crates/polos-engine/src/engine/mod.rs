//! The engine itself: what it holds in memory, and the loop's four steps.

mod audit;
mod changes;
mod config;
mod crowd;
mod load;
mod pages;
mod parting;
mod runs;
mod slots;

pub use config::Config;
pub(crate) use pages::shown;
pub(crate) use parting::Parting;
pub(crate) use runs::Said;

use crate::error::{Class, Error};
use crate::ids::Ids;
use crate::input::{ConnectionId, Input, Moment};
use crate::live::Live;
use crate::output::Output;
use crate::overlay::Overlay;
use crate::schedule::{QueueName, Schedule};
use crate::timers::Timers;
use crate::worker::Worker;
use changes::Draft;
use crowd::Crowd;
use pages::Page;
use polos_protocol::{Millis, Namespace, RunId, WorkerId};
use polos_store::{Command, Read};
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

/// The state machine. See the crate's page for the loop around it.
#[derive(Debug)]
pub struct Engine {
    pub(crate) config: Config,
    pub(crate) now: Millis,
    pub(crate) ids: Ids,
    /// Never iterated where the order would show.
    pub(crate) runs: HashMap<RunId, Live>,
    pub(crate) workers: BTreeMap<WorkerId, Worker>,
    pub(crate) connections: BTreeMap<ConnectionId, WorkerId>,
    pub(crate) schedule: Schedule,
    pub(crate) timers: Timers,
    /// When each build was first seen.
    pub(crate) builds: BTreeMap<Arc<str>, Millis>,
    /// Queues that a person configured: code does not change them.
    pub(crate) operator_queues: BTreeSet<QueueName>,
    /// Hot runs whose wait has come true and that wait for a slot, oldest first.
    pub(crate) resuming: VecDeque<RunId>,
    /// When a worker's run is looked at: accepted in time, not wedged. Entries may be stale.
    pub(crate) watch: BTreeSet<(Millis, RunId)>,
    pub(crate) overlay: Overlay,
    draft: Draft,
    outputs: Vec<Output>,
    pages: Vec<Page>,
    touched: Vec<RunId>,
    crowd: Crowd,
    fault: Option<Error>,
}

impl Engine {
    /// Takes an input in. Nothing of it may leave before [`Engine::committed`].
    pub fn handle(&mut self, moment: Moment, input: Input, store: &dyn Read) {
        if self.fault.is_some() {
            return;
        }
        self.now = self.now.max(moment.now);
        self.ids.begin(Moment { now: self.now, ..moment });
        if let Err(fault) = self.dispatch(input, store) {
            self.fault = Some(fault);
        }
    }

    fn dispatch(&mut self, input: Input, store: &dyn Read) -> Result<(), Error> {
        match input {
            Input::Connect { connection, namespace, hello } => {
                self.connect(connection, &namespace, &hello);
                Ok(())
            }
            Input::Frame { connection, frame } => self.frame(connection, frame, store),
            Input::Paged { connection, ended } => {
                self.paged(connection, ended);
                Ok(())
            }
            Input::Blob { connection, run, hash, text } => {
                self.store_blob(connection, run, (hash, text));
                Ok(())
            }
            Input::Disconnect { connection } => {
                self.disconnect(connection);
                Ok(())
            }
            Input::WorkerDead { worker } => {
                self.worker_dead(worker);
                Ok(())
            }
            Input::Request { id, namespace, principal, request } => {
                let outcome = self.request(&namespace, &principal, request, store);
                if let Err(error) = &outcome
                    && error.class == Class::Unavailable
                    && self.has_draft()
                {
                    // It broke off halfway: what is in memory is not what will be durable.
                    return Err(error.clone());
                }
                self.seal(&namespace);
                self.outputs.push(Output::Reply(id, outcome));
                Ok(())
            }
            Input::Tick => self.tick(store),
        }
    }

    /// The commands of all inputs since the last call, in order: one batch. Gives ready runs to
    /// workers first.
    pub fn take_commands(&mut self, store: &dyn Read) -> Vec<Command> {
        if self.fault.is_none()
            && let Err(fault) = self.place_ready(store)
        {
            self.fault = Some(fault);
        }
        if self.fault.is_some() { Vec::new() } else { self.draft.take() }
    }

    /// The batch is durable (or there was none): what may leave now, in order.
    ///
    /// # Errors
    /// The store could not be read: throw the engine away and load a new one.
    pub fn committed(&mut self, now: Millis, store: &dyn Read) -> Result<Vec<Output>, Error> {
        if let Some(fault) = self.fault.take() {
            return Err(fault);
        }
        self.now = self.now.max(now);
        self.turn_pages();
        self.evict();
        self.overlay.clear();
        self.timers.top_up(store)?;
        Ok(std::mem::take(&mut self.outputs))
    }

    /// When [`Input::Tick`] is due next, if nothing else happens.
    pub fn next_deadline(&self) -> Option<Millis> {
        let workers = self.workers.values().map(|worker| self.worker_deadline(worker));
        let watch = self.watch.first().map(|(at, _)| *at);
        workers.chain(watch).chain(self.timers.next_at()).min()
    }

    /// Sends a frame to a worker, if it is connected.
    pub(crate) fn send(&mut self, worker: WorkerId, frame: polos_protocol::frame::FromServer) {
        if let Some(connection) = self.workers.get(&worker).and_then(|worker| worker.connection) {
            self.outputs.push(Output::Send(connection, frame));
        }
    }

    pub(crate) fn output(&mut self, output: Output) {
        self.outputs.push(output);
    }

    pub(crate) fn changed(&mut self, namespace: &Namespace, run: RunId) {
        if let Some(Output::Changed(_, last)) = self.outputs.last()
            && *last == run
        {
            return;
        }
        self.outputs.push(Output::Changed(namespace.clone(), run));
    }
}
