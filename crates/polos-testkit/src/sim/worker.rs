//! A simulated worker: the SDK's own replay and code, with a connection that breaks, a process that
//! dies, and a clock that stands still while it is frozen.

#![expect(clippy::struct_field_names, reason = "the words of the SDK")]

use super::program::{NAME, Program};
use super::server::STEP_TIMEOUT_MS;
use super::world::World;
use futures_util::future::BoxFuture;
use polos_protocol::frame::{FromServer, FromWorker, Held, Hello, Host, RecordRequest, VERSIONS};
use polos_protocol::{Definition, Kind, Millis, RunId, WorkerId};
use polos_sdk::NoStreams;
use polos_sdk::replay::{
    BeginEffect, EffectOutcome, EffectReport, Fault, Input, Run, RunOutput, Settings,
};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

/// An effect's place: the run, its assignment, and the SDK's own number.
pub(super) type EffectPlace = (RunId, u64, u64);

/// A worker's process.
#[derive(Debug)]
pub(super) struct Process {
    /// The worker's id: another one for each process.
    pub(super) id: WorkerId,
    /// Its build.
    pub(super) build: u32,
    /// Counts its connections.
    pub(super) connection_number: u64,
    /// The link that it uses now.
    pub(super) link: Option<u64>,
    /// True once the server has welcomed it on that link.
    pub(super) welcomed: bool,
    /// When it last heard from the server.
    pub(super) heard_at: Millis,
    lease_ms: u64,
    lease_lost: bool,
    hot_ms: u64,
    program: Arc<Program>,
    runs: BTreeMap<RunId, Run>,
    /// Those that wait, since the longest first.
    hot: Vec<RunId>,
    /// How many of those there may be: the oldest park first.
    pub(super) hot_runs_max: usize,
    effects: BTreeMap<EffectPlace, Effect>,
}

struct Effect {
    future: BoxFuture<'static, EffectReport>,
    request: polos_sdk::replay::RequestId,
    effect: polos_sdk::replay::EffectId,
    /// It is not polled after this time.
    ends_at: Millis,
    timeout_ms: u64,
}

impl std::fmt::Debug for Effect {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Effect").field(&self.effect).finish()
    }
}

/// What a process wants of the simulation.
#[derive(Debug)]
pub(super) enum Want {
    /// Send this text.
    Send(String),
    /// An effect has begun: poll it later. Says which step, for the checks, and up to where the run
    /// knows its journal.
    Begun(EffectPlace, polos_sdk::replay::Begin, u64),
}

impl Process {
    /// A new process.
    pub(super) fn new(id: WorkerId, build: u32, world: &Arc<World>, now: Millis) -> Self {
        Self {
            id,
            build,
            connection_number: 0,
            link: None,
            welcomed: false,
            heard_at: now,
            lease_ms: 10_000,
            lease_lost: false,
            hot_ms: 2_000,
            program: Arc::new(Program { world: world.clone(), build }),
            runs: BTreeMap::new(),
            hot: Vec::new(),
            hot_runs_max: usize::MAX,
            effects: BTreeMap::new(),
        }
    }

    /// Its first frame on a new link.
    pub(super) fn hello(&mut self, link: u64, now: Millis) -> String {
        self.connection_number += 1;
        self.link = Some(link);
        self.welcomed = false;
        self.heard_at = now;
        let held = self
            .runs
            .values()
            .map(|run| Held {
                run: run.id(),
                assignment: run.run_ref().assignment,
                seq: run.seq(),
                wait: run.waits_for(),
            })
            .collect();
        let definition = Definition { name: NAME.into(), ..Definition::default() };
        FromWorker::Hello(Hello {
            protocol: VERSIONS,
            features: vec![],
            kinds: Kind::ALL.to_vec(),
            worker: self.id,
            name: self.id.to_string(),
            host: Host::default(),
            sdk: "sim/0".into(),
            build: format!("build-{}", self.build).into(),
            connection: self.connection_number,
            definitions: vec![definition],
            queues: vec![],
            slots: 4,
            placements: vec![],
            held,
            pages: 2,
        })
        .to_text()
    }

    /// The link has broken.
    pub(super) fn unlink(&mut self, now: Millis) -> Vec<Want> {
        self.link = None;
        self.welcomed = false;
        self.each(now, |_| Some(Input::Detached))
    }

    /// The connection's thread has read something.
    pub(super) fn heard(&mut self, now: Millis) {
        self.heard_at = now;
        self.lease_lost = false;
    }

    /// True while the server's word is fresh enough to begin anything.
    pub(super) fn is_leased(&self, now: Millis) -> bool {
        now.saturating_sub(self.heard_at) < self.lease_ms
    }

    /// The code is told of a frame.
    pub(super) fn hear(&mut self, text: &str, now: Millis) -> Result<Vec<Want>, String> {
        match FromServer::from_text(text).map_err(|error| error.to_string())? {
            FromServer::Welcome(welcome) => {
                self.welcomed = true;
                self.hot_ms = welcome.hot_ms;
                self.lease_ms = welcome.lease_ms;
                let kept: BTreeMap<RunId, _> =
                    welcome.kept.into_iter().map(|kept| (kept.run, kept)).collect();
                let mut wants = self.each(now, |run| {
                    let kept = kept
                        .get(&run.id())
                        .filter(|kept| kept.assignment == run.run_ref().assignment);
                    Some(kept.map_or(Input::Done, |kept| Input::Attached(kept.clone())))
                });
                wants.extend(self.drain(now));
                Ok(wants)
            }
            FromServer::Start(start) => {
                let settings = Settings {
                    hot_ms: self.hot_ms,
                    step_timeout_ms: STEP_TIMEOUT_MS,
                    ..Settings::new(&format!("build-{}", self.build))
                };
                let id = start.run;
                self.forget(id);
                let run = Run::new(start, self.program.clone(), settings, Arc::new(NoStreams), now);
                self.runs.insert(id, run);
                Ok(self.drain(now))
            }
            FromServer::Append(append) => {
                Ok(self.tell(append.run, append.assignment, Input::Append(append), now))
            }
            FromServer::Recorded(recorded) => {
                let mut wants = Vec::new();
                for (run, assignment, n, seq) in recorded.runs {
                    wants.extend(self.tell(
                        run,
                        assignment,
                        Input::Recorded { n, seq, at: recorded.at },
                        now,
                    ));
                }
                Ok(wants)
            }
            FromServer::Done(of) => Ok(self.tell(of.run, of.assignment, Input::Done, now)),
            FromServer::Revoked(of) => Ok(self.tell(of.run, of.assignment, Input::Done, now)),
            FromServer::Ping(_) => {
                Ok(vec![Want::Send(FromWorker::Pong(polos_protocol::frame::Empty {}).to_text())])
            }
            FromServer::Blob(_) | FromServer::Stored(_) | FromServer::Drain(_) => Ok(vec![]),
            FromServer::Error(fatal) if fatal.code == "stale_connection" => Ok(vec![]),
            FromServer::Error(fatal) => {
                Err(format!("the server ended the connection: {}", fatal.message))
            }
        }
    }

    fn tell(&mut self, id: RunId, assignment: u64, input: Input, now: Millis) -> Vec<Want> {
        if let Some(run) = self.runs.get_mut(&id)
            && run.run_ref().assignment == assignment
        {
            run.handle(input, now);
        }
        self.drain(now)
    }

    fn each(&mut self, now: Millis, mut input: impl FnMut(&Run) -> Option<Input>) -> Vec<Want> {
        for run in self.runs.values_mut() {
            if let Some(input) = input(run) {
                run.handle(input, now);
            }
        }
        self.drain(now)
    }

    /// Lets time pass: first the lease, then the runs' own timers. After a freeze too.
    pub(super) fn tick(&mut self, now: Millis) -> Vec<Want> {
        if !self.is_leased(now) && !self.lease_lost {
            self.lease_lost = true;
            return self.each(now, |_| Some(Input::LeaseLost));
        }
        self.each(now, |run| run.timer().is_some_and(|at| at <= now).then_some(Input::Tick))
    }

    /// When a tick is wanted.
    pub(super) fn deadline(&self) -> Option<Millis> {
        let lease = (!self.lease_lost).then(|| self.heard_at + self.lease_ms);
        self.runs.values().filter_map(Run::timer).chain(lease).min()
    }

    /// Polls an effect. True if it goes on.
    pub(super) fn poll(&mut self, place: EffectPlace, now: Millis) -> (bool, Vec<Want>) {
        let Some(effect) = self.effects.get_mut(&place) else { return (false, vec![]) };
        let mut context = Context::from_waker(Waker::noop());
        let polled = if now >= effect.ends_at {
            let fault = Fault::timed_out(effect.timeout_ms);
            Poll::Ready(EffectReport::new(EffectOutcome::Failed(fault), now))
        } else {
            effect.future.as_mut().poll(&mut context)
        };
        let Poll::Ready(report) = polled else { return (true, vec![]) };
        let (request, number) = (effect.request, effect.effect);
        self.effects.remove(&place);
        let (run, assignment, _) = place;
        (false, self.tell(run, assignment, Input::Report { request, effect: number, report }, now))
    }

    fn forget(&mut self, id: RunId) {
        self.runs.remove(&id);
        self.effects.retain(|(run, ..), _| *run != id);
    }

    /// The runs for which effects are under way, and their assignments.
    pub(super) fn executing(&self) -> impl Iterator<Item = (RunId, u64)> + '_ {
        self.effects.keys().map(|(run, assignment, _)| (*run, *assignment))
    }

    /// Collects what the runs want, and parks those that wait in too great a number.
    fn drain(&mut self, now: Millis) -> Vec<Want> {
        let mut wants = self.collect(now);
        let runs = &self.runs;
        let waits = |id: &RunId| runs.get(id).is_some_and(|run| run.waits_for().is_some());
        self.hot.retain(waits);
        let newly: Vec<RunId> =
            runs.keys().filter(|id| waits(id) && !self.hot.contains(id)).copied().collect();
        self.hot.extend(newly);
        let excess = self.hot.len().saturating_sub(self.hot_runs_max);
        for id in &self.hot[..excess] {
            if let Some(run) = self.runs.get_mut(id) {
                run.handle(Input::Cool, now);
            }
        }
        wants.extend(self.collect(now));
        wants
    }

    fn collect(&mut self, now: Millis) -> Vec<Want> {
        let mut wants = Vec::new();
        let mut gone = Vec::new();
        let leased = self.is_leased(now);
        for (id, run) in &mut self.runs {
            let assignment = run.run_ref().assignment;
            while let Some(output) = run.next_output() {
                match output {
                    RunOutput::Records(records) => {
                        let frame = FromWorker::Record(RecordRequest { runs: vec![records] });
                        wants.push(Want::Send(frame.to_text()));
                    }
                    RunOutput::Frame(frame) => wants.push(Want::Send(frame.to_text())),
                    // It begins after the re-attachment, if the run is still here then.
                    RunOutput::Begin(_) if !leased => run.handle(Input::LeaseLost, now),
                    RunOutput::Begin(BeginEffect { begin, future, .. }) => {
                        let place = (*id, assignment, begin.effect.0);
                        let effect = Effect {
                            future,
                            request: begin.request,
                            effect: begin.effect,
                            ends_at: now + begin.timeout_ms,
                            timeout_ms: begin.timeout_ms,
                        };
                        self.effects.insert(place, effect);
                        wants.push(Want::Begun(place, begin, run.seq()));
                    }
                    RunOutput::Stop(effect) => {
                        self.effects.remove(&(*id, assignment, effect.0));
                    }
                    RunOutput::Forget => gone.push(*id),
                }
            }
            if run.is_gone() {
                gone.push(*id);
            }
        }
        for id in gone {
            self.forget(id);
        }
        wants
    }
}
