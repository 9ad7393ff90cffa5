//! The runs of a worker: each has a task; frames are handed to them.

use crate::replay::{Input, Run, Settings, Workflow};
use crate::worker::Error;
use crate::worker::askers::Askers;
use crate::worker::clock::Clock;
use crate::worker::held::Held;
use crate::worker::outbox::Outbox;
use crate::worker::task::{Note, RunTask};
use polos_protocol::frame::Kept;
use polos_protocol::frame::{Empty, FromServer, FromWorker, RunRef, Start, Welcome};
use polos_protocol::{Definition, RunId};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::{mpsc, watch};

/// What the runs are told, by the connection and by themselves.
#[derive(Debug)]
pub(crate) enum Event {
    Welcome(Box<Welcome>, u64),
    Frame(Box<FromServer>),
    Detached,
    LeaseLost,
    Fatal(Error),
    /// A run's task has ended.
    Ended(RunRef),
    /// The user wants the worker to stop.
    Drain,
}

/// What all runs of a worker share.
pub(crate) struct Shared {
    pub(crate) outbox: Arc<Outbox>,
    pub(crate) clock: Arc<Clock>,
    pub(crate) events: mpsc::UnboundedSender<Event>,
    /// Who waits for which value.
    pub(crate) askers: Askers,
}

/// A workflow as registered.
#[derive(Clone)]
pub(crate) struct Registered {
    pub(crate) definition: Definition,
    pub(crate) workflow: Arc<dyn Workflow>,
}

pub(crate) struct Runs {
    pub(crate) shared: Arc<Shared>,
    pub(crate) held: Arc<Held>,
    pub(crate) workflows: HashMap<String, Registered>,
    pub(crate) build: Arc<str>,
    pub(crate) draining: Arc<AtomicBool>,
    pub(crate) connected: watch::Sender<bool>,
    pub(crate) tasks: HashMap<RunId, (u64, mpsc::UnboundedSender<Note>)>,
    pub(crate) connection: u64,
    pub(crate) hot_ms: u64,
}

impl Runs {
    /// Runs until a drain has ended, or the connection for good.
    pub(crate) async fn serve(
        &mut self,
        events: &mut mpsc::UnboundedReceiver<Event>,
    ) -> Result<(), Error> {
        while let Some(event) = events.recv().await {
            match event {
                Event::Welcome(welcome, connection) => self.welcomed(&welcome, connection),
                Event::Frame(frame) => self.frame(*frame),
                Event::Detached => {
                    self.connected.send_replace(false);
                    self.tell_all(|| Note::Input(Input::Detached));
                }
                Event::LeaseLost => self.tell_all(|| Note::Input(Input::LeaseLost)),
                Event::Fatal(error) => return Err(error),
                Event::Ended(ended) => self.ended(ended),
                Event::Drain => self.drain(),
            }
            if self.draining.load(Ordering::Acquire) && self.tasks.is_empty() {
                return Ok(());
            }
        }
        Ok(())
    }

    fn tell_all(&self, note: impl Fn() -> Note) {
        for (_, notes) in self.tasks.values() {
            let _ = notes.send(note());
        }
    }

    fn tell(&self, run: RunId, assignment: u64, note: Note) {
        match self.tasks.get(&run) {
            Some((current, notes)) if *current == assignment => {
                let _ = notes.send(note);
            }
            _ => tracing::debug!(%run, assignment, "a frame for a run that is not here"),
        }
    }

    fn welcomed(&mut self, welcome: &Welcome, connection: u64) {
        self.connection = connection;
        self.hot_ms = welcome.hot_ms;
        self.connected.send_replace(true);
        let kept: HashMap<RunId, &Kept> = welcome.kept.iter().map(|k| (k.run, k)).collect();
        for (run, (assignment, notes)) in &self.tasks {
            let _ = match kept.get(run) {
                Some(kept) if kept.assignment == *assignment => {
                    notes.send(Note::Attached(connection, (*kept).clone()))
                }
                _ => notes.send(Note::Input(Input::Done)),
            };
        }
    }

    fn frame(&mut self, frame: FromServer) {
        match frame {
            FromServer::Start(start) => self.start(start),
            FromServer::Append(append) => {
                let (run, assignment) = (append.run, append.assignment);
                self.tell(run, assignment, Note::Input(Input::Append(append)));
            }
            FromServer::Recorded(recorded) => {
                self.shared.clock.at_least(recorded.at);
                for (run, assignment, n, seq) in recorded.runs {
                    let input = Input::Recorded { n, seq, at: recorded.at };
                    self.tell(run, assignment, Note::Input(input));
                }
            }
            FromServer::Done(done) => {
                self.tell(done.run, done.assignment, Note::Input(Input::Done));
            }
            FromServer::Revoked(revoked) => {
                let (run, code, why) = (revoked.run, &revoked.code, &revoked.message);
                tracing::warn!(%run, %code, %why, "a run was taken away");
                self.tell(run, revoked.assignment, Note::Input(Input::Done));
            }
            FromServer::Blob(blob) => {
                let whole = blob.offset + blob.text.len() as u64 >= blob.size;
                for run in self.shared.askers.piece(&blob.hash, blob.offset == 0, whole) {
                    if let Some((_, notes)) = self.tasks.get(&run) {
                        let _ = notes.send(Note::Input(Input::Blob(blob.clone())));
                    }
                }
            }
            FromServer::Stored(stored) => {
                for run in self.shared.askers.kept(&stored.hash) {
                    if let Some((_, notes)) = self.tasks.get(&run) {
                        let _ = notes.send(Note::Input(Input::Stored(stored.hash.clone())));
                    }
                }
            }
            FromServer::Drain(_) => self.drain(),
            FromServer::Welcome(_) | FromServer::Ping(_) | FromServer::Error(_) => {}
        }
    }

    fn start(&mut self, start: Box<Start>) {
        let run = RunRef { run: start.run, assignment: start.assignment };
        self.shared.clock.at_least(start.now);
        let registered = self.workflows.get(&start.workflow).cloned();
        let Some(registered) = registered.filter(|_| !self.draining.load(Ordering::Acquire)) else {
            self.shared.outbox.frame(self.connection, FromWorker::Release(run));
            return;
        };
        if let Some((_, old)) = self.tasks.remove(&run.run) {
            let _ = old.send(Note::Input(Input::Done));
        }
        let mut settings = Settings::new(&self.build);
        settings.hot_ms = self.hot_ms;
        if let Some(limit) = registered.definition.step_timeout_ms {
            settings.step_timeout_ms = limit;
        }
        let standing = self.held.insert(run);
        let (notes, inbox) = mpsc::unbounded_channel();
        self.tasks.insert(run.run, (run.assignment, notes.clone()));
        let shared = self.shared.clone();
        let connection = self.connection;
        tokio::spawn(async move {
            let now = shared.clock.now();
            let streams = shared.outbox.clone();
            let code = Run::new(start, registered.workflow, settings, streams, now);
            RunTask::new(code, shared, connection, standing, notes).serve(inbox).await;
        });
    }

    fn ended(&mut self, ended: RunRef) {
        if self.tasks.get(&ended.run).is_some_and(|(current, _)| *current == ended.assignment) {
            self.tasks.remove(&ended.run);
            self.held.remove(ended.run);
        }
    }

    fn drain(&mut self) {
        if !self.draining.swap(true, Ordering::AcqRel) {
            tracing::info!(runs = self.tasks.len(), "draining");
            self.shared.outbox.now(FromWorker::Drain(Empty {}));
        }
        self.tell_all(|| Note::Input(Input::Drain));
    }
}
