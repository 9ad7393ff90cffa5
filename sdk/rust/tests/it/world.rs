//! A server for one run and the world around it, in memory and in virtual time: it commits
//! records, fires timers, runs children, answers people, and counts effects.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![expect(clippy::expect_used, reason = "a test that cannot go on has failed")]

use futures_util::FutureExt as _;
use polos_protocol::frame::{Append, FromWorker, Lost, Previous, Settled, Start};
use polos_protocol::record::{Answer, ApprovalKind, Open, RunOptions};
use polos_protocol::{
    ApprovalId, Blocked, DefinitionKind, Failure, Kind, Millis, NewRecord, Record, RunId, StepKey,
    Value,
};
use polos_sdk::replay::{EffectId, Input, Run, RunOutput, Settings};
use polos_sdk::{NoStreams, Workflow};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

/// A small generator of numbers: one seed, one sequence.
#[derive(Debug, Clone)]
pub(crate) struct Chance(pub(crate) u64);

impl Chance {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit.max(1)
    }
}

/// How a run ended in this process.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum End {
    Completed(Value),
    Failed(Failure, Option<StepKey>),
    Blocked(Box<Blocked>),
    Released,
    Parked,
    /// The journal has reached the length at which the process was to die.
    Killed,
}

pub(crate) struct World {
    pub(crate) run: RunId,
    pub(crate) journal: Vec<Record>,
    pub(crate) now: Millis,
    pub(crate) assignment: u64,
    pub(crate) build: String,
    pub(crate) chance: Chance,
    /// How often each effect was begun.
    pub(crate) begun: HashMap<String, u32>,
    pub(crate) previous: Option<Previous>,
    pub(crate) lost: Vec<Lost>,
    pub(crate) settled: Vec<Settled>,
    pub(crate) accepted: Vec<StepKey>,
    /// What a person answers when asked.
    pub(crate) answer: fn(&StepKey, ApprovalKind) -> Option<Answer>,
    /// Dies when the journal is this long.
    pub(crate) kill_at: usize,
    /// Commits records but drops the answers from this length on: they come after re-attachment.
    pub(crate) max_delay: u64,
    pub(crate) page: usize,
    /// Up to where the run has been told of its journal.
    pub(crate) told: u64,
    pub(crate) seen: BTreeSet<&'static str>,
    /// Stop instead of parking for ever when nothing is left to happen.
    pub(crate) hot_ms: u64,
}

enum Event {
    Input(Input),
    Resolve(StepKey, Option<Value>, Option<Failure>),
}

pub(crate) fn answer(approved: bool, value: Option<serde_json::Value>) -> Answer {
    Answer {
        approval: ApprovalId::from_bytes([3; 16]),
        approved,
        feedback: None,
        value,
        scope: None,
        by: "ada".to_owned(),
        at: 1,
    }
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            run: RunId::from_bytes([9; 16]),
            journal: Vec::new(),
            now: 1_000_000,
            assignment: 0,
            build: "b1".to_owned(),
            chance: Chance(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1),
            begun: HashMap::new(),
            previous: None,
            lost: Vec::new(),
            settled: Vec::new(),
            accepted: Vec::new(),
            answer: |_, _| None,
            kill_at: usize::MAX,
            max_delay: 50,
            page: usize::MAX,
            told: 0,
            seen: BTreeSet::new(),
            hot_ms: 2_000,
        }
    }

    pub(crate) fn keys(&self, kind: Kind) -> Vec<String> {
        let of_kind = self.journal.iter().filter(|record| record.kind() == kind);
        of_kind.map(|record| record.key().to_string()).collect()
    }

    /// The journal in short.
    pub(crate) fn shape(&self) -> Vec<String> {
        let line = |r: &Record| {
            format!("{} {} {} after {}", r.seq, r.kind().name(), r.key(), r.record.after)
        };
        self.journal.iter().map(line).collect()
    }

    pub(crate) fn start(&mut self) -> Start {
        self.assignment += 1;
        Start {
            run: self.run,
            assignment: self.assignment,
            workflow: "w".to_owned(),
            kind: DefinitionKind::Workflow,
            input: Value::null(),
            seed: "00ff".into(),
            created_ms: 1_000_000,
            now: self.now,
            options: RunOptions::default(),
            root: self.run,
            parent: None,
            depth: 0,
            build: None,
            principal: "test".to_owned(),
            previous: self.previous,
            lost: self.lost.clone(),
            alone: false,
            key_generation: 0,
            settled: self.settled.clone(),
            accepted: self.accepted.clone(),
            journal: if self.journal.len() > self.page { Vec::new() } else { self.journal.clone() },
            seq: self.journal.last().map_or(0, |record| record.seq),
        }
    }

    fn commit(&mut self, record: NewRecord, assignment: u64) -> u64 {
        let seq = self.journal.last().map_or(0, |last| last.seq) + 1;
        self.journal.push(Record {
            seq,
            at: self.now,
            assignment,
            worker: None,
            build: (assignment > 0).then(|| self.build.as_str().into()),
            record,
        });
        seq
    }

    pub(crate) fn cancel(&mut self) {
        let mut record = NewRecord::new(0, Kind::Cancel, StepKey::run(), 0);
        record.error = Some(Failure::new("cancelled", "by ada"));
        self.commit(record, 0);
    }

    /// What still has to happen for the opened waits of the journal.
    fn schedule(
        &mut self,
        record: &Record,
        queue: &mut BTreeMap<(Millis, u64), Event>,
        order: &mut u64,
    ) {
        *order += 1;
        let key = record.key().clone();
        let delay = self.chance.below(self.max_delay) + 1;
        match record.record.detail::<Open>().unwrap() {
            Open::Timer { at } => {
                queue.insert(
                    (at.max(self.now), *order),
                    Event::Resolve(key, Some(Value::null()), None),
                );
            }
            Open::Child(child) if !child.detached => {
                let value = Value::from_serialize(&format!("child {key}")).unwrap();
                queue.insert((self.now + delay, *order), Event::Resolve(key, Some(value), None));
            }
            Open::Child(_) => {}
            Open::Event(event) => {
                if let Some(at) = event.deadline_ms {
                    let failure = Failure::new("timeout", "no event came");
                    queue.insert((at, *order), Event::Resolve(key, None, Some(failure)));
                }
            }
            Open::Approval(question) => {
                if let Some(answer) = (self.answer)(&key, question.kind) {
                    let value = Value::from_serialize(&answer).unwrap();
                    queue
                        .insert((self.now + delay, *order), Event::Resolve(key, Some(value), None));
                }
            }
        }
    }

    /// Gives the run to a process with this code and drives it until it ends, parks for good, or
    /// is killed.
    pub(crate) fn drive(&mut self, workflow: &Arc<dyn Workflow>) -> End {
        let mut settings = Settings::new(&self.build);
        settings.hot_ms = self.hot_ms;
        let start = self.start();
        self.told = start.seq;
        let mut run =
            Run::new(Box::new(start), workflow.clone(), settings, Arc::new(NoStreams), self.now);
        let mut queue = BTreeMap::new();
        let mut order = 0;
        let resolved: BTreeSet<_> = self.keys(Kind::Resolved).into_iter().collect();
        for record in self.journal.clone() {
            if record.kind() == Kind::Open && !resolved.contains(record.key().as_str()) {
                self.schedule(&record, &mut queue, &mut order);
            }
        }
        loop {
            if let Some(end) = self.carry_out(&mut run, &mut queue, &mut order) {
                return end;
            }
            if self.journal.len() >= self.kill_at {
                return End::Killed;
            }
            let timer = run.timer();
            let next = queue.keys().next().map(|(at, _)| *at);
            match (next, timer) {
                (Some(at), timer) if timer.is_none_or(|timer| at <= timer) => {
                    self.now = self.now.max(at);
                    let (_, event) = queue.pop_first().unwrap();
                    self.happen(event, &mut run);
                }
                (_, Some(timer)) => {
                    self.now = self.now.max(timer);
                    run.handle(Input::Tick, self.now);
                }
                (None, None) => return End::Parked,
                (Some(_), None) => unreachable!("covered above"),
            }
        }
    }

    fn happen(&mut self, event: Event, run: &mut Run) {
        match event {
            Event::Input(input) => {
                if let Input::Recorded { seq, .. } = &input {
                    self.told = self.told.max(*seq);
                }
                run.handle(input, self.now);
            }
            Event::Resolve(key, value, error) => {
                if self.keys(Kind::Lost).contains(&key.to_string()) {
                    return;
                }
                let mut record = NewRecord::new(0, Kind::Resolved, key, 0);
                (record.value, record.error) = (value, error);
                let seq = self.commit(record, 0);
                // What was committed and not told yet goes with it, and acknowledges by its `n`.
                let untold = self.journal.iter().filter(|record| record.seq > self.told);
                let records = untold.cloned().collect();
                self.told = seq;
                run.handle(Input::Append(self.append(records, seq)), self.now);
            }
        }
    }

    pub(crate) fn append(&self, records: Vec<Record>, seq: u64) -> Append {
        // As text and back, as on the wire.
        let more = seq < self.journal.last().map_or(0, |record| record.seq);
        let append = Append { run: self.run, assignment: self.assignment, records, seq, more };
        serde_json::from_str(&serde_json::to_string(&append).unwrap()).unwrap()
    }

    fn carry_out(
        &mut self,
        run: &mut Run,
        queue: &mut BTreeMap<(Millis, u64), Event>,
        order: &mut u64,
    ) -> Option<End> {
        let mut stopped: BTreeSet<EffectId> = BTreeSet::new();
        while let Some(output) = run.next_output() {
            match output {
                RunOutput::Records(records) => {
                    for record in records.records {
                        let (n, kind) = (record.n, record.kind);
                        let seq = self.commit(record, self.assignment);
                        let committed = self.journal.last().unwrap().clone();
                        if kind == Kind::Open {
                            self.schedule(&committed, queue, order);
                        }
                        *order += 1;
                        let recorded = Event::Input(Input::Recorded { n, seq, at: self.now });
                        queue.insert((self.now, *order), recorded);
                        if self.journal.len() >= self.kill_at {
                            return Some(End::Killed);
                        }
                    }
                }
                RunOutput::Begin(begin) => {
                    *self.begun.entry(begin.begin.key.to_string()).or_default() += 1;
                    let (request, effect) = (begin.begin.request, begin.begin.effect);
                    let mut report =
                        begin.future.now_or_never().expect("effects are ready at once");
                    let delay = self.chance.below(self.max_delay);
                    report.started_ms = self.now;
                    report.ended_ms = self.now + delay;
                    *order += 1;
                    let ended = Event::Input(Input::Report { request, effect, report });
                    queue.insert((self.now + delay, *order), ended);
                }
                RunOutput::Stop(effect) => {
                    stopped.insert(effect);
                }
                RunOutput::Forget => {}
                RunOutput::Frame(frame) => {
                    self.seen.insert(frame.kind());
                    if let Some(end) = self.ended(frame, run) {
                        return Some(end);
                    }
                }
            }
        }
        queue.retain(|_, event| {
            !matches!(event, Event::Input(Input::Report { effect, .. }) if stopped.contains(effect))
        });
        None
    }

    fn next_page(&self, after: u64, run: &mut Run) {
        let rest = self.journal.iter().filter(|record| record.seq > after);
        let page: Vec<Record> = rest.take(self.page).cloned().collect();
        let seq = page.last().map_or(after, |record| record.seq);
        run.handle(Input::Append(self.append(page, seq)), self.now);
    }

    fn ended(&mut self, frame: FromWorker, run: &mut Run) -> Option<End> {
        match frame {
            FromWorker::Complete(complete) => Some(End::Completed(complete.value)),
            FromWorker::Fail(fail) => Some(End::Failed(fail.error, fail.step)),
            FromWorker::Block(block) => Some(End::Blocked(Box::new(block.blocked))),
            FromWorker::Release(_) => Some(End::Released),
            FromWorker::Accept(_) if self.journal.len() > self.page => {
                self.next_page(0, run);
                None
            }
            FromWorker::More(more) => {
                self.next_page(more.seq, run);
                None
            }
            _ => None,
        }
    }
}
