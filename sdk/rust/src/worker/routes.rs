//! Where what the server says goes: from the connection's thread straight to the task of the run, so
//! that an acknowledgement wakes nobody on its way.

use crate::replay::{Input, Run, Settings, Workflow};
use crate::worker::Error;
use crate::worker::askers::Askers;
use crate::worker::clock::Clock;
use crate::worker::event::Event;
use crate::worker::held::Held;
use crate::worker::hot::Hot;
use crate::worker::outbox::Outbox;
use crate::worker::task::{Note, RunTask};
use polos_protocol::frame::Kept;
use polos_protocol::frame::{Blob, Empty, FromServer, FromWorker, RunRef, Start, Welcome};
use polos_protocol::{Definition, RunId};
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};

/// A workflow as registered.
#[derive(Clone)]
pub(crate) struct Registered {
    pub(crate) definition: Definition,
    pub(crate) workflow: Arc<dyn Workflow>,
}

/// The runs in memory and the ways to them. Shared by the connection, the runs, and who drains.
pub(crate) struct Routes {
    pub(crate) outbox: Arc<Outbox>,
    pub(crate) clock: Arc<Clock>,
    /// Who waits for which value.
    pub(crate) askers: Askers,
    pub(crate) held: Arc<Held>,
    /// The runs that wait in memory.
    pub(crate) hot: Hot,
    pub(crate) workflows: HashMap<String, Registered>,
    pub(crate) build: Arc<str>,
    pub(crate) draining: AtomicBool,
    pub(crate) connected: watch::Sender<bool>,
    pub(crate) events: mpsc::UnboundedSender<Event>,
    pub(crate) state: Mutex<State>,
}

#[derive(Debug)]
pub(crate) struct State {
    tasks: HashMap<RunId, Way>,
    connection: u64,
    hot_ms: u64,
    /// Where the runs' tasks live.
    runtime: Option<Handle>,
}

/// The way to a run's task.
#[derive(Debug)]
struct Way {
    assignment: u64,
    notes: mpsc::UnboundedSender<Note>,
}

impl State {
    pub(crate) fn new(hot_ms: u64) -> Self {
        Self { tasks: HashMap::new(), connection: 0, hot_ms, runtime: None }
    }

    fn tell(&self, RunRef { run, assignment }: RunRef, input: Input) {
        match self.tasks.get(&run) {
            Some(way) if way.assignment == assignment => {
                let _ = way.notes.send(Note::Input(input));
            }
            _ => tracing::debug!(%run, assignment, "a frame for a run that is not here"),
        }
    }
}

impl Routes {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says where the runs' tasks are to live.
    pub(crate) fn live_in(&self, runtime: Handle) {
        self.state().runtime = Some(runtime);
    }

    /// True if no run is in memory.
    pub(crate) fn is_empty(&self) -> bool {
        self.state().tasks.is_empty()
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }

    pub(crate) fn welcomed(&self, welcome: &Welcome, connection: u64) {
        let mut state = self.state();
        state.connection = connection;
        state.hot_ms = welcome.hot_ms;
        let kept: HashMap<RunId, &Kept> = welcome.kept.iter().map(|k| (k.run, k)).collect();
        for (run, way) in &state.tasks {
            let _ = match kept.get(run) {
                Some(kept) if kept.assignment == way.assignment => {
                    way.notes.send(Note::Attached(connection, (*kept).clone()))
                }
                _ => way.notes.send(Note::Input(Input::Done)),
            };
        }
        drop(state);
        self.connected.send_replace(true);
    }

    pub(crate) fn detached(&self) {
        self.connected.send_replace(false);
        self.tell_all(|| Input::Detached);
    }

    pub(crate) fn lease_lost(&self) {
        self.tell_all(|| Input::LeaseLost);
    }

    fn tell_all(&self, input: impl Fn() -> Input) {
        for way in self.state().tasks.values() {
            let _ = way.notes.send(Note::Input(input()));
        }
    }

    fn tell(&self, of: RunRef, input: Input) {
        self.state().tell(of, input);
    }

    /// The connection cannot go on.
    pub(crate) fn end(&self, error: Error) {
        let _ = self.events.send(Event::Fatal(error));
    }

    /// Takes a frame. Those of the connection itself are not for the runs.
    pub(crate) fn frame(self: &Arc<Self>, frame: FromServer) {
        match frame {
            FromServer::Start(start) => self.start(start),
            FromServer::Append(append) => {
                let of = RunRef { run: append.run, assignment: append.assignment };
                self.tell(of, Input::Append(append));
            }
            FromServer::Recorded(recorded) => {
                self.clock.at_least(recorded.at);
                let state = self.state();
                for (run, assignment, n, seq) in recorded.runs {
                    let input = Input::Recorded { n, seq, at: recorded.at };
                    state.tell(RunRef { run, assignment }, input);
                }
            }
            FromServer::Done(done) => self.tell(done, Input::Done),
            FromServer::Revoked(revoked) => {
                let (run, code, why) = (revoked.run, &revoked.code, &revoked.message);
                tracing::warn!(%run, %code, %why, "a run was taken away");
                self.tell(RunRef { run, assignment: revoked.assignment }, Input::Done);
            }
            FromServer::Blob(blob) => self.blob(&blob),
            FromServer::Stored(stored) => {
                let askers = self.askers.kept(&stored.hash);
                self.tell_each(&askers, || Input::Stored(stored.hash.clone()));
            }
            FromServer::Drain(_) => self.drain(),
            FromServer::Welcome(_) | FromServer::Ping(_) | FromServer::Error(_) => {}
        }
    }

    fn blob(&self, blob: &Blob) {
        let is_last = blob.offset + blob.text.len() as u64 >= blob.size;
        let askers = self.askers.piece(&blob.hash, blob.offset == 0, is_last);
        self.tell_each(&askers, || Input::Blob(blob.clone()));
    }

    fn tell_each(&self, runs: &[RunId], input: impl Fn() -> Input) {
        let state = self.state();
        for way in runs.iter().filter_map(|run| state.tasks.get(run)) {
            let _ = way.notes.send(Note::Input(input()));
        }
    }

    fn start(self: &Arc<Self>, start: Box<Start>) {
        let of = RunRef { run: start.run, assignment: start.assignment };
        self.clock.at_least(start.now);
        let registered = self.workflows.get(&start.workflow).filter(|_| !self.is_draining());
        let mut state = self.state();
        let (Some(registered), Some(runtime)) = (registered.cloned(), state.runtime.clone()) else {
            return self.outbox.frame(state.connection, FromWorker::Release(of));
        };
        let mut settings = Settings::new(&self.build);
        settings.hot_ms = state.hot_ms;
        if let Some(limit) = registered.definition.step_timeout_ms {
            settings.step_timeout_ms = limit;
        }
        let standing = self.held.insert(of);
        let (notes, inbox) = mpsc::unbounded_channel();
        let way = Way { assignment: of.assignment, notes: notes.clone() };
        if let Some(old) = state.tasks.insert(of.run, way) {
            let _ = old.notes.send(Note::Input(Input::Done));
        }
        let connection = state.connection;
        drop(state);
        let routes = self.clone();
        runtime.spawn(async move {
            let now = routes.clock.now();
            let streams = routes.outbox.clone();
            let code = Run::new(start, registered.workflow, settings, streams, now);
            RunTask::new(code, routes, connection, standing, notes).serve(inbox).await;
        });
    }

    /// A run's task has ended.
    pub(crate) fn ended(&self, ended: RunRef) {
        let mut state = self.state();
        if state.tasks.get(&ended.run).is_some_and(|way| way.assignment == ended.assignment) {
            state.tasks.remove(&ended.run);
            self.held.remove(ended.run);
        }
        let is_last = state.tasks.is_empty();
        drop(state);
        if is_last && self.is_draining() {
            let _ = self.events.send(Event::Drained);
        }
    }

    /// Takes no new runs, and lets those that there are end or park.
    pub(crate) fn drain(&self) {
        if !self.draining.swap(true, Ordering::AcqRel) {
            tracing::info!("draining");
            self.outbox.now(FromWorker::Drain(Empty {}));
        }
        self.tell_all(|| Input::Drain);
        if self.is_empty() {
            let _ = self.events.send(Event::Drained);
        }
    }
}
