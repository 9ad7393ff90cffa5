//! The simulation: engine, store, several workers with the SDK's own replay, and people, under one
//! seeded clock. Connections break, processes die and freeze, commits fail or are written without
//! anyone being told; after every commit the invariants are checked. One seed, one course: two runs
//! of a seed print the same bytes.

#![expect(clippy::unnecessary_wraps, reason = "its callers may fail in other ways")]

mod check;
mod clients;
mod program;
mod random;
mod server;
mod trouble;
mod wires;
mod worker;
mod world;

use check::Checker;
use clients::Clients;
use polos_protocol::record::Kind;
use polos_protocol::{Millis, WorkerId};
use random::Random;
use server::Server;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use wires::Wires;
use worker::{EffectPlace, Process, Want};
use world::World;

use crate::store::Memory;

/// How a simulation is to go.
#[derive(Debug, Clone)]
pub struct Options {
    /// The seed: everything follows from it.
    pub seed: u64,
    /// How many runs are started.
    pub runs: u32,
    /// How many workers there are.
    pub workers: u32,
    /// A change of the rules that is to be found: see docs/concepts/simulation.md.
    pub mutation: Option<&'static str>,
    /// True to keep every line of the log, not only its hash.
    pub verbose: bool,
}

impl Options {
    /// The usual course of a seed.
    pub fn new(seed: u64) -> Self {
        Self { seed, runs: 6, workers: 3, mutation: None, verbose: false }
    }
}

/// What a simulation came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The seed.
    pub seed: u64,
    /// What was found wrong, if anything.
    pub violation: Option<String>,
    /// How many commits were made.
    pub commits: u64,
    /// How many events happened.
    pub events: u64,
    /// A hash of the log: equal for two runs of a seed.
    pub hash: u64,
    /// The log, if it was kept.
    pub log: String,
}

/// What happens at some time.
#[derive(Debug)]
enum Event {
    /// A text arrives at the server on a link.
    ToServer(u64, String),
    /// A text arrives at a worker on a link.
    ToWorker(u64, String),
    /// The server notices that a link is gone.
    ServerUnlinked(u64),
    /// A worker notices that a link is gone.
    WorkerUnlinked(u64),
    /// The server handles what has come and commits.
    Turn,
    /// The server comes back.
    ServerUp,
    /// A worker's process begins.
    WorkerUp(usize),
    /// A worker connects.
    Connect(usize),
    /// A frozen worker thaws.
    Thaw(usize),
    /// An effect of a process is polled.
    Poll(usize, WorkerId, EffectPlace),
    /// The people and programs outside do something.
    Client,
    /// Something goes wrong.
    Trouble,
    /// The last workers of the first build are replaced.
    Deployed,
}

/// How many runs may wait in a worker's memory, in every other pair of seeds.
const HOT_RUNS_FEW: usize = 2;

/// The faults stop after this much time, and everything must come to its end.
const TROUBLE_MS: Millis = 60_000;
/// The second build comes after this much time.
const DEPLOY_MS: Millis = 5_000;
/// The first build is gone after this much time: nobody is frozen any more.
const DEPLOYED_MS: Millis = TROUBLE_MS + 31_000;
/// A run that has not ended so long after the last fault is forgotten.
const END_MS: Millis = 400_000;
/// Where the clock begins.
const BEGIN_MS: Millis = 1_000_000;
/// More events than this mean that something goes round in circles.
const EVENTS_MAX: u64 = 400_000;

struct Slot {
    process: Option<Process>,
    health: Health,
    mail: Vec<Event>,
}

/// How a worker's process is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Health {
    Well,
    /// It stands still, all of it.
    Frozen,
    /// The user's code hangs; the connection's thread answers pings.
    Wedged,
}

struct Sim {
    options: Options,
    random: Random,
    now: Millis,
    order: u64,
    queue: BTreeMap<(Millis, u64), Event>,
    store: Memory,
    server: Server,
    wires: Wires,
    slots: Vec<Slot>,
    world: Arc<World>,
    clients: Clients,
    checker: Checker,
    commits: u64,
    events: u64,
    hash: u64,
    log: String,
    turn_due: bool,
}

/// Runs a simulation.
pub fn run(options: &Options) -> Report {
    let mut sim = Sim::new(options.clone());
    let violation = sim.go().err();
    Report {
        seed: options.seed,
        violation,
        commits: sim.commits,
        events: sim.events,
        hash: sim.hash,
        log: sim.log,
    }
}

impl Sim {
    fn new(options: Options) -> Self {
        let mut random = Random::new(options.seed);
        let store = Memory::new();
        let world = World::new(random.next());
        let clients = Clients::new(&mut random, options.runs);
        let server = Server::new(&store, BEGIN_MS, &options);
        let slots = (0..options.workers)
            .map(|_| Slot { process: None, health: Health::Well, mail: vec![] })
            .collect();
        let mut sim = Self {
            random,
            now: BEGIN_MS,
            order: 0,
            queue: BTreeMap::new(),
            store,
            server,
            wires: Wires::default(),
            slots,
            world,
            clients,
            checker: Checker::default(),
            commits: 0,
            events: 0,
            hash: 0xcbf2_9ce4_8422_2325,
            log: String::new(),
            turn_due: false,
            options,
        };
        for index in 0..sim.slots.len() {
            sim.after(index as u64, Event::WorkerUp(index));
        }
        sim.after(1, Event::Client);
        sim.after(500, Event::Trouble);
        sim.after(DEPLOYED_MS, Event::Deployed);
        sim
    }

    fn after(&mut self, ms: Millis, event: Event) {
        self.at(self.now + ms, event);
    }

    fn at(&mut self, at: Millis, event: Event) {
        self.order += 1;
        self.queue.insert((at, self.order), event);
    }

    fn note(&mut self, line: std::fmt::Arguments<'_>) {
        let text = format!("{} {line}\n", self.now - BEGIN_MS);
        for byte in text.bytes() {
            self.hash = (self.hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        if self.options.verbose {
            self.log.push_str(&text);
        }
    }

    fn trouble_is_over(&self) -> bool {
        self.now >= BEGIN_MS + TROUBLE_MS
    }

    fn go(&mut self) -> Result<(), String> {
        while !self.is_over()? {
            self.events += 1;
            if self.events > EVENTS_MAX {
                return Err("it goes round in circles".to_owned());
            }
            self.step()?;
        }
        self.checker.at_end(&self.store, &self.world, &self.clients)
    }

    /// The next thing in time: an event, or a timer of the server or of a worker.
    fn step(&mut self) -> Result<(), String> {
        let event_at = self.queue.first_key_value().map(|((at, _), _)| *at);
        let server_at = self.server.deadline().map(|at| at.max(self.now));
        let worker_at = self.next_worker_timer();
        let soonest =
            [event_at, server_at, worker_at.map(|(at, _)| at)].into_iter().flatten().min();
        let Some(at) = soonest else {
            return Err("nothing is going to happen any more".to_owned());
        };
        self.now = self.now.max(at);
        if event_at == Some(at) {
            let Some((_, event)) = self.queue.pop_first() else { return Ok(()) };
            return self.happen(event);
        }
        if server_at == Some(at) {
            self.server.tick();
            return self.turn();
        }
        let Some((_, index)) = worker_at else { return Ok(()) };
        let now = self.now;
        let wants =
            self.slots[index].process.as_mut().map(|process| process.tick(now)).unwrap_or_default();
        self.want(index, wants)
    }

    fn next_worker_timer(&self) -> Option<(Millis, usize)> {
        let timers = self.slots.iter().enumerate().filter(|(_, slot)| slot.health == Health::Well);
        timers
            .filter_map(|(index, slot)| {
                Some((slot.process.as_ref()?.deadline()?.max(self.now), index))
            })
            .min()
    }

    fn is_over(&mut self) -> Result<bool, String> {
        if self.now > BEGIN_MS + TROUBLE_MS + END_MS {
            let mut said = String::new();
            for run in self.checker.unfinished(&self.store) {
                let why = self.server.explain(&self.store, run, self.now);
                let _ = writeln!(said, "{run}: {why}: {}", story(&self.store, run));
            }
            return Err(format!("runs were forgotten: {said}"));
        }
        Ok(self.trouble_is_over()
            && self.clients.all_started()
            && self.checker.all_ended(&self.store))
    }

    fn happen(&mut self, event: Event) -> Result<(), String> {
        if let Some(index) = self.frozen_receiver(&event) {
            if self.slots[index].health == Health::Wedged && self.answer_for(index, &event) {
                return Ok(());
            }
            self.slots[index].mail.push(event);
            return Ok(());
        }
        match event {
            Event::ToServer(link, text) => {
                if self.server.is_up() && self.wires.server_has(link) {
                    self.server
                        .hear(link, &text)
                        .map_err(|e| format!("the server could not read a frame: {e}"))?;
                    self.turn_soon();
                }
            }
            Event::ServerUnlinked(link) => {
                if self.server.is_up() && self.wires.drop_server_end(link) {
                    self.server.unlinked(link);
                    self.turn_soon();
                }
            }
            Event::ToWorker(link, text) => {
                if let Some(index) = self.wires.worker_of(link) {
                    let now = self.now;
                    if let Some(process) =
                        self.slots[index].process.as_mut().filter(|p| p.link == Some(link))
                    {
                        process.heard(now);
                        let wants = process.hear(&text, now)?;
                        self.want(index, wants)?;
                    }
                }
            }
            Event::WorkerUnlinked(link) => self.worker_unlinked(link)?,
            Event::Turn => {
                self.turn_due = false;
                self.turn()?;
            }
            Event::ServerUp => self.server_up(),
            Event::WorkerUp(index) => self.worker_up(index),
            Event::Connect(index) => self.connect(index),
            Event::Thaw(index) => self.thaw(index)?,
            Event::Poll(index, worker, place) => self.poll(index, worker, place)?,
            Event::Client => self.client(),
            Event::Trouble => self.trouble()?,
            Event::Deployed => {
                let two = !self.options.seed.is_multiple_of(2);
                let old = |slot: &Slot| {
                    two && slot.process.as_ref().is_some_and(|process| process.build == 1)
                };
                let old: Vec<usize> =
                    (0..self.slots.len()).filter(|index| old(&self.slots[*index])).collect();
                for index in old {
                    self.kill_worker(index);
                }
            }
        }
        Ok(())
    }

    fn frozen_receiver(&self, event: &Event) -> Option<usize> {
        let index = match event {
            Event::ToWorker(link, _) | Event::WorkerUnlinked(link) => {
                self.wires.worker_of(*link)?
            }
            Event::Poll(index, ..) | Event::Connect(index) => *index,
            _ => return None,
        };
        (self.slots[index].health != Health::Well).then_some(index)
    }

    fn turn_soon(&mut self) {
        if !std::mem::replace(&mut self.turn_due, true) {
            let delay = self.random.below(4);
            self.after(delay, Event::Turn);
        }
    }

    /// The server handles what has come, commits, and speaks.
    fn turn(&mut self) -> Result<(), String> {
        if !self.server.is_up() {
            return Ok(());
        }
        let calm = self.trouble_is_over();
        let outcome = self.server.turn(&self.store, self.now, &mut self.random, calm);
        self.commits += u64::from(outcome.committed);
        for line in &outcome.lines {
            self.note(format_args!("{line}"));
        }
        self.checker.after_commit(&self.store, &self.world)?;
        if outcome.crashed {
            return self.server_down();
        }
        self.server.audit(&self.store)?;
        if outcome.reset {
            for link in self.wires.server_links() {
                self.cut(link);
            }
        }
        for (link, text) in outcome.sent {
            self.checker.heard(&self.store, &text)?;
            let (delay, twice) = (self.random.between(0, 30), self.random.chance(0));
            self.deliver_to_worker(link, text.clone(), delay);
            if twice {
                self.deliver_to_worker(link, text, delay);
            }
        }
        for link in outcome.closed {
            self.cut(link);
        }
        for (id, reply) in outcome.replies {
            self.clients.replied(id, &reply);
        }
        if outcome.more {
            self.turn_soon();
        }
        Ok(())
    }

    fn deliver_to_worker(&mut self, link: u64, text: String, delay: Millis) {
        if let Some(at) = self.wires.to_worker_at(link, self.now + delay) {
            self.at(at, Event::ToWorker(link, text));
        }
    }

    /// Does what a process wants.
    fn want(&mut self, index: usize, wants: Vec<Want>) -> Result<(), String> {
        for want in wants {
            match want {
                Want::Send(text) => {
                    let link = self.slots[index].process.as_ref().and_then(|process| process.link);
                    let delay = self.random.between(0, 30);
                    if let Some(link) = link
                        && let Some(at) = self.wires.to_server_at(link, self.now + delay)
                    {
                        // A frame may come twice: what is durable is acknowledged, not repeated.
                        if text.starts_with(r#"{"type":"record""#) && self.random.chance(50) {
                            self.at(at, Event::ToServer(link, text.clone()));
                        }
                        self.at(at, Event::ToServer(link, text));
                    }
                }
                Want::Begun(place, begin, seq) => {
                    let (run, assignment, number) = place;
                    self.note(format_args!(
                        "begin {run} {assignment}/{number} {} {:?}",
                        begin.key, begin.kind
                    ));
                    self.checker.begun(&self.store, run, &begin, seq)?;
                    let processes = self.slots.iter().filter_map(|slot| slot.process.as_ref());
                    let executing: Vec<_> = processes.flat_map(Process::executing).collect();
                    self.checker.executing(&self.store, &executing, self.clients.kept_slots)?;
                    let Some(id) = self.slots[index].process.as_ref().map(|process| process.id)
                    else {
                        continue;
                    };
                    let slow = self.random.chance(150);
                    let delay = self.random.between(0, if slow { 1_900 } else { 200 });
                    self.after(delay, Event::Poll(index, id, place));
                }
            }
        }
        Ok(())
    }

    fn poll(&mut self, index: usize, worker: WorkerId, place: EffectPlace) -> Result<(), String> {
        let now = self.now;
        let Some(process) =
            self.slots[index].process.as_mut().filter(|process| process.id == worker)
        else {
            return Ok(());
        };
        // A worker that has heard nothing for its lease notices that before anything acts.
        let wants = process.tick(now);
        self.want(index, wants)?;
        let Some(process) = self.slots[index].process.as_mut() else { return Ok(()) };
        let (goes_on, wants) = process.poll(place, now);
        if goes_on {
            let delay = self.random.between(0, 100);
            self.after(delay, Event::Poll(index, worker, place));
        }
        if let Some((run, key)) = self.world.twice() {
            return Err(format!("the `once` effect of `{key}` in {run} happened twice"));
        }
        self.want(index, wants)
    }

    fn worker_up(&mut self, index: usize) {
        let tail = self.random.bytes();
        let mut random = [0; 10];
        random.copy_from_slice(&tail[..10]);
        let id = WorkerId::from_parts(self.now, random);
        let drawn = if self.random.chance(500) { 1 } else { 2 };
        let build = match self.now - BEGIN_MS {
            // Every other seed keeps to one build.
            _ if self.options.seed.is_multiple_of(2) => 1,
            0..DEPLOY_MS => 1,
            DEPLOY_MS..TROUBLE_MS => drawn,
            _ => 2,
        };
        self.note(format_args!("worker {index} is up as {id}, build {build}"));
        let mut process = Process::new(id, build, &self.world, self.now);
        if self.options.seed % 4 >= 2 {
            process.hot_runs_max = HOT_RUNS_FEW;
        }
        self.slots[index].process = Some(process);
        self.connect(index);
    }

    fn connect(&mut self, index: usize) {
        let now = self.now;
        let up = self.server.is_up();
        let Some(process) = self.slots[index].process.as_mut() else { return };
        if process.link.is_some() {
            return;
        }
        if !up {
            self.after(200, Event::Connect(index));
            return;
        }
        let link = self.wires.open(index, now);
        let hello = process.hello(link, now);
        let delay = self.random.between(0, 30);
        if let Some(at) = self.wires.to_server_at(link, now + delay) {
            self.at(at, Event::ToServer(link, hello));
        }
    }

    fn worker_unlinked(&mut self, link: u64) -> Result<(), String> {
        let Some(index) = self.wires.drop_worker_end(link) else { return Ok(()) };
        let now = self.now;
        if let Some(process) =
            self.slots[index].process.as_mut().filter(|process| process.link == Some(link))
        {
            let wants = process.unlink(now);
            let delay = self.random.between(1, 400);
            self.after(delay, Event::Connect(index));
            self.want(index, wants)?;
        }
        Ok(())
    }

    /// A link breaks: what is under way on it is lost, and each side notices in its own time.
    fn cut(&mut self, link: u64) {
        self.wires.cut(link);
        // One side may go on for long in the belief that it is heard.
        let late = if self.random.chance(300) { 9_000 } else { 300 };
        let (server, worker) = (self.random.between(0, 300), self.random.between(0, late));
        self.after(server, Event::ServerUnlinked(link));
        self.after(worker, Event::WorkerUnlinked(link));
    }

    fn client(&mut self) {
        if self.server.is_up() {
            let calm = self.trouble_is_over();
            for (id, request) in
                self.clients.requests(&self.store, &self.world, &mut self.random, calm)
            {
                self.server.ask(id, request);
            }
            self.turn_soon();
        }
        let delay = if self.trouble_is_over() { 1_000 } else { self.random.between(50, 2_000) };
        self.after(delay, Event::Client);
    }
}

/// A journal in words, for a person who looks into a violation.
pub(crate) fn story(store: &Memory, run: polos_protocol::RunId) -> String {
    use polos_store::Read;
    let namespace = polos_protocol::Namespace::default();
    let records = store.journal(&namespace, run, 0, usize::MAX).unwrap_or_default();
    records.iter().fold(String::new(), |mut text, record| {
        let mark = if record.record.error.is_some() { "!" } else { "" };
        let by = if record.kind() == Kind::Resolved { 0 } else { record.assignment };
        let _ =
            write!(text, "{}:{}{mark} {}@{by}; ", record.seq, record.kind().name(), record.key());
        text
    })
}
