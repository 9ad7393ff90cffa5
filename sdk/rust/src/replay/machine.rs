//! The machine's state and what goes in and out of it.

#![expect(clippy::large_enum_variant, reason = "made one at a time and moved at once")]
#![expect(clippy::zero_sized_map_values, reason = "ordered by time, then by request")]

use crate::replay::blobs::Blobs;
use crate::replay::cancel::Cancel;
use crate::replay::ending::Phase;
use crate::replay::journal::Journal;
use crate::replay::park::Waiting;
use crate::replay::request::{Begin, EffectId, Request};
use crate::replay::scope::Scopes;
use crate::replay::send::Wire;
use crate::replay::{RequestId, ScopeId};
use polos_protocol::frame::{Append, FromWorker, Kept, MoreRequest, RunRef, Start};
use polos_protocol::{Kind, Millis, RunId, Value, limits};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::task::Waker;

/// What the machine must know of its worker.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The build of the code.
    pub build: Arc<str>,
    /// How long a waiting run stays in memory before it is parked.
    pub hot_ms: u64,
    /// How long cleanup may take after a cancellation.
    pub cleanup_ms: u64,
    /// The server's limit for steps: the machine announces longer ones.
    pub step_timeout_ms: u64,
}

impl Settings {
    /// The protocol's defaults for a build.
    pub fn new(build: &str) -> Self {
        Self {
            build: build.into(),
            hot_ms: limits::HOT_MS,
            cleanup_ms: limits::CLEANUP_MS,
            step_timeout_ms: limits::STEP_TIMEOUT_MS,
        }
    }
}

/// What the machine wants done.
#[derive(Debug, Clone)]
pub enum Output {
    /// Records to be sent; they may share a frame with other runs' records.
    Records(polos_protocol::frame::RunRecords),
    /// A frame to be sent, after what came before.
    Frame(FromWorker),
    /// An effect to begin.
    Begin(Begin),
    /// An effect to stop; a report on it is ignored.
    Stop(EffectId),
    /// The run is the worker's no more: drop it and its effects.
    Forget,
}

/// The replay of one run under one assignment.
#[derive(Debug)]
pub struct Machine {
    pub(crate) start: Box<Start>,
    pub(crate) settings: Settings,
    pub(crate) phase: Phase,
    pub(crate) journal: Journal,
    /// The highest sequence number known without a gap.
    pub(crate) have: u64,
    /// The journal's end when the run was given: what lies behind it is live.
    pub(crate) frontier: u64,
    /// The highest sequence number handed to the code.
    pub(crate) handed: u64,
    /// How many bytes of values were handed to the code, its input included.
    pub(crate) handed_bytes: u64,
    /// The code's time.
    pub(crate) code_ms: Millis,
    pub(crate) scopes: Scopes,
    pub(crate) requests: BTreeMap<RequestId, Request>,
    /// Requests for which something is to be begun when the code is idle.
    pub(crate) fresh: Vec<RequestId>,
    pub(crate) next_request: u64,
    pub(crate) next_effect: u64,
    /// Requests with a time of their own: backoffs and doubts.
    pub(crate) timed: BTreeMap<(Millis, RequestId), ()>,
    /// How many effects run, gates are shut, or questions asked of the world.
    pub(crate) wire: Wire,
    pub(crate) blobs: Blobs,
    pub(crate) waiting: Option<Waiting>,
    pub(crate) cancel: Option<Cancel>,
    pub(crate) draining: bool,
    pub(crate) out: VecDeque<Output>,
}

impl Machine {
    /// Takes a run that the server has given. It is accepted at once; the code may run when
    /// [`Self::is_loaded`].
    pub fn new(mut start: Box<Start>, settings: Settings) -> Self {
        let first_page = std::mem::take(&mut start.journal);
        let mut machine = Self {
            phase: Phase::Loading,
            journal: Journal::default(),
            have: 0,
            frontier: start.seq,
            handed: 0,
            handed_bytes: start.input.size(),
            code_ms: start.created_ms,
            scopes: Scopes::new(),
            requests: BTreeMap::new(),
            fresh: Vec::new(),
            next_request: 1,
            next_effect: 1,
            timed: BTreeMap::new(),
            wire: Wire::new(),
            blobs: Blobs::default(),
            waiting: None,
            cancel: None,
            draining: false,
            out: VecDeque::new(),
            start,
            settings,
        };
        machine.frame(FromWorker::Accept(machine.run_ref()));
        if !first_page.is_empty() {
            machine.take_page(first_page, machine.frontier);
        }
        machine.begin_if_loaded();
        machine
    }

    /// The run.
    pub fn run(&self) -> RunId {
        self.start.run
    }

    /// What the server said about the run, without its journal.
    pub fn start(&self) -> &Start {
        &self.start
    }

    /// The run and its assignment.
    pub fn run_ref(&self) -> RunRef {
        RunRef { run: self.start.run, assignment: self.start.assignment }
    }

    /// Up to where the journal is known.
    pub fn seq(&self) -> u64 {
        self.have
    }

    /// The code's time: the commit time of the last record handed to it.
    pub fn now(&self) -> Millis {
        self.code_ms
    }

    /// The run's input, once it is here.
    pub fn input(&mut self) -> Option<Value> {
        let input = self.start.input.clone();
        self.resolve_value(&input)
    }

    /// True once the whole journal is here.
    pub fn is_loaded(&self) -> bool {
        !matches!(self.phase, Phase::Loading)
    }

    /// True while the code may run: neither blocked, ended nor given back.
    pub fn is_running(&self) -> bool {
        matches!(self.phase, Phase::Running)
    }

    /// True once nothing is left to do here.
    pub fn is_gone(&self) -> bool {
        matches!(self.phase, Phase::Gone)
    }

    /// True while the code is handed what was recorded before this process had the run.
    pub fn is_replaying(&self) -> bool {
        !self.is_loaded() || self.journal.has_history(self.frontier)
    }

    /// The next thing to be done outside.
    pub fn next_output(&mut self) -> Option<Output> {
        if self.out.is_empty() {
            self.flush();
        }
        self.out.pop_front()
    }

    /// Records that the server has: a further page, or what it added itself.
    pub fn appended(&mut self, append: Append, now: Millis) {
        if append.assignment != self.start.assignment || self.is_gone() {
            return;
        }
        let more = append.more;
        self.waiting = None;
        if self.is_loaded() {
            self.append_live(append, now);
        } else {
            self.take_page(append.records, append.seq);
            self.begin_if_loaded();
        }
        if more {
            self.ask_more();
        }
        self.resend_if_caught_up();
    }

    fn take_page(&mut self, records: Vec<polos_protocol::Record>, upto: u64) {
        // Nobody knows how many of the records that are still to come open something.
        self.journal.reserve(records.len());
        for record in records {
            if record.seq <= self.have {
                continue;
            }
            self.have = record.seq;
            if let Err(cause) = self.journal.index(record) {
                self.block_unreadable(&cause);
                return;
            }
        }
        self.have = self.have.max(upto);
    }

    /// Lets the code begin once the whole journal is here.
    fn begin_if_loaded(&mut self) {
        if matches!(self.phase, Phase::Loading) && self.have >= self.frontier {
            self.phase = Phase::Running;
        }
    }

    /// Says up to where the journal is here: the answer to a page, or to a gap.
    pub(crate) fn ask_more(&mut self) {
        let RunRef { run, assignment } = self.run_ref();
        self.frame(FromWorker::More(MoreRequest { run, assignment, seq: self.have }));
    }

    fn append_live(&mut self, append: Append, now: Millis) {
        for record in append.records {
            if record.seq <= self.have {
                continue;
            }
            self.have = record.seq;
            if record.kind() == Kind::Reset {
                // The past has changed under the code: it must begin anew, from the journal.
                self.give_back();
                return;
            }
            if record.assignment == self.start.assignment && record.record.n > 0 {
                self.acknowledge_one(record.record.n, record.seq, record.at, now);
            } else if let Err(cause) = self.journal.index(record) {
                self.block_unreadable(&cause);
                return;
            }
        }
        self.have = self.have.max(append.seq);
    }

    /// The connection stands: `kept` says what the server has of this run.
    pub fn attached(&mut self, kept: &Kept, now: Millis) {
        self.wire.attach(kept);
        self.say_wait_again();
        self.refetch();
        self.resend_if_caught_up();
        self.tick(now);
    }

    /// The connection is gone. Effects go on; nothing is sent until [`Self::attached`].
    pub fn detached(&mut self) {
        self.wire.detach();
        self.say_wait_again();
        self.out
            .retain(|output| matches!(output, Output::Begin(_) | Output::Stop(_) | Output::Forget));
    }

    fn say_wait_again(&mut self) {
        if let Some(waiting) = self.waiting.as_mut() {
            waiting.say_again();
        }
    }

    /// The server wants its runs back: what waits is parked at once, the rest after its effects.
    pub fn drain(&mut self, now: Millis) {
        self.draining = true;
        self.cool(now);
    }

    /// The run is parked, ended or given back (`done`), or taken away (`revoked`).
    pub fn forgotten(&mut self) {
        self.stop_all();
        self.phase = Phase::Gone;
        self.out.push_back(Output::Forget);
    }

    /// When [`Self::tick`] is wanted next.
    pub fn timer(&self) -> Option<Millis> {
        if !self.is_running() {
            return None;
        }
        let timed =
            if self.wire.may_start { self.timed.keys().next().map(|(at, _)| *at) } else { None };
        let park = self.waiting.as_ref().and_then(Waiting::park_at);
        let cleanup = self.cancel.as_ref().map(|cancel| cancel.deadline_ms);
        [timed, park, cleanup].into_iter().flatten().min()
    }

    /// Lets time pass.
    pub fn tick(&mut self, now: Millis) {
        if !self.is_running() {
            return;
        }
        self.end_cleanup(now);
        self.wake_timed(now);
        self.park_when_cold(now);
    }

    /// Registers who is to be woken when the request has something for the code.
    pub fn wake_by(&mut self, id: RequestId, scope: ScopeId, waker: &Waker) {
        if let Some(request) = self.requests.get_mut(&id) {
            request.awaited_in = scope;
            match &mut request.waker {
                Some(old) if old.will_wake(waker) => {}
                other => *other = Some(waker.clone()),
            }
        }
    }

    /// The next derived UUID of a scope.
    pub fn uuid(&mut self, scope: ScopeId) -> String {
        let seed = self.start.seed.clone();
        self.scopes.next_uuid(scope, &seed)
    }

    /// The next derived random number of a scope.
    pub fn random(&mut self, scope: ScopeId) -> u64 {
        let seed = self.start.seed.clone();
        self.scopes.next_random(scope, &seed)
    }

    /// Opens a scope for a branch.
    pub fn open_scope(
        &mut self,
        parent: ScopeId,
        name: &str,
        kind: crate::replay::ScopeKind,
    ) -> ScopeId {
        self.scopes.open(parent, name, kind)
    }

    /// The code of a scope has ended.
    pub fn close_scope(&mut self, scope: ScopeId) {
        self.scopes.close(scope);
    }
}
