//! A dry replay: the code runs against a stored journal, and the first thing that it would do anew
//! is said instead of done. No effect begins, and nothing is sent.
//!
//! Like the machine it does no I/O and keeps no clock: it says what it wants, a page or a value, and
//! in the end what it found.

use crate::ctx::Ctx;
use crate::error::Error;
use crate::replay::{EffectKind, Input, Output, Run, Settings, Workflow};
use crate::stream::NoStreams;
use futures_util::future::BoxFuture;
use polos_protocol::failure::codes;
use polos_protocol::frame::{Append, Blob, Finding, FromWorker, Replayed, RunRecords, Start};
use polos_protocol::record::{ApprovalKind, Marker, Open};
use polos_protocol::{Blocked, Kind, Millis, NewRecord, StepKey, Value, Wait};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

/// What a rehearsal needs to go on.
#[derive(Debug, Clone, PartialEq)]
pub enum Need {
    /// The journal's records after this sequence number.
    Page(u64),
    /// The value of this hash.
    Value(Arc<str>),
    /// Nothing: this was found.
    Nothing(Box<Replayed>),
}

/// A dry replay of one run.
#[derive(Debug)]
pub struct Rehearsal {
    run: Run,
    build: Arc<str>,
    now: Millis,
    needs: VecDeque<Need>,
    notes: Vec<String>,
    /// The error with which the code has ended, if it has.
    raised: Arc<Mutex<Option<String>>>,
}

/// What the code would do at the journal's end.
#[derive(Debug, Default)]
struct Turn {
    /// What is begun, opened or published: the step and words for it.
    begun: Vec<(StepKey, String)>,
    blocked: Option<Blocked>,
    /// How the run would rest or end, in words.
    rests: Option<String>,
    /// The highest number of records that only mark something: they are taken as recorded.
    marked: Option<(u64, u64)>,
}

impl Rehearsal {
    /// Takes a run as the server would give it.
    pub fn new(
        start: Box<Start>,
        workflow: Arc<dyn Workflow>,
        mut settings: Settings,
        now: Millis,
    ) -> Self {
        settings.hot_ms = 0;
        let raised = Arc::new(Mutex::new(None));
        let build = settings.build.clone();
        let workflow = Arc::new(Listened { workflow, raised: raised.clone() });
        let run = Run::new(start, workflow, settings, Arc::new(NoStreams), now);
        Self { run, build, now, needs: VecDeque::new(), notes: Vec::new(), raised }
    }

    /// Lets the code go on as far as it goes, and says what is needed next.
    pub fn go_on(&mut self) -> Need {
        loop {
            let turn = self.turn();
            if let Some(need) = self.needs.pop_front() {
                return need;
            }
            if !self.run.is_loaded() {
                return Need::Page(self.run.seq());
            }
            if let Some(found) = self.found(&turn) {
                return Need::Nothing(Box::new(found));
            }
            let Some((n, count)) = turn.marked else {
                let message = "the code neither goes on nor waits for anything".to_owned();
                return Need::Nothing(Box::new(self.replayed(Finding::Unchecked { message })));
            };
            let seq = self.run.seq() + count;
            self.run.handle(Input::Recorded { n, seq, at: self.now }, self.now);
        }
    }

    /// A page that was needed.
    pub fn append(&mut self, append: Append) {
        self.run.handle(Input::Append(append), self.now);
    }

    /// A piece of a value that was needed.
    pub fn value(&mut self, blob: Blob) {
        self.run.handle(Input::Blob(blob), self.now);
    }

    /// Hears all that the run wants, and does none of it.
    fn turn(&mut self) -> Turn {
        let mut turn = Turn::default();
        while let Some(output) = self.run.next_unbegun() {
            match output {
                Output::Begin(begin) => {
                    let words = begin_words(begin.kind, &begin.key, begin.attempt);
                    turn.begun.push((begin.key, words));
                }
                Output::Records(records) => self.records(&mut turn, records),
                Output::Frame(frame) => self.frame(&mut turn, frame),
                Output::Stop(_) | Output::Forget => {}
            }
        }
        turn
    }

    fn records(&mut self, turn: &mut Turn, records: RunRecords) {
        let count = records.records.len() as u64;
        let last = records.records.last().map_or(0, |record| record.n);
        for record in records.records {
            match record.kind {
                Kind::Marker => self.notes.extend(marker_words(&record)),
                // The loser of a race is known from the journal.
                Kind::Lost => {}
                _ => turn.begun.push((record.key.clone(), record_words(&record))),
            }
        }
        let before = turn.marked.map_or(0, |(_, count)| count);
        turn.marked = Some((last, before + count));
    }

    fn frame(&mut self, turn: &mut Turn, frame: FromWorker) {
        match frame {
            FromWorker::More(more) => self.needs.push_back(Need::Page(more.seq)),
            FromWorker::Fetch(fetch) => self.needs.push_back(Need::Value(fetch.hash)),
            FromWorker::Block(request) => turn.blocked = Some(request.blocked),
            FromWorker::Complete(_) => turn.rests = Some("ends with its output".to_owned()),
            FromWorker::Store(_) => turn.rests = Some("gives a large value".to_owned()),
            FromWorker::Fail(fail) => {
                turn.rests = Some(format!(
                    "ends with an error: {} ({})",
                    fail.error.message, fail.error.code
                ));
            }
            FromWorker::Wait(request) => turn.rests = Some(wait_words(&request.wait)),
            _ => {}
        }
    }

    fn found(&mut self, turn: &Turn) -> Option<Replayed> {
        if let Some(blocked) = &turn.blocked {
            return Some(self.blocked(blocked.clone()));
        }
        if !turn.begun.is_empty() {
            let unchecked = self.run.unasked();
            let finding = if unchecked.is_empty() {
                Finding::Agrees { next: joined(turn.begun.iter().map(|(_, words)| words)) }
            } else {
                let steps = turn.begun.iter().map(|(key, _)| key.clone()).collect();
                Finding::Inserts { steps, unchecked }
            };
            return Some(self.replayed(finding));
        }
        let next = turn.rests.clone()?;
        Some(self.replayed(Finding::Agrees { next }))
    }

    fn blocked(&mut self, blocked: Blocked) -> Replayed {
        if blocked.code == codes::STEP_IN_DOUBT {
            return self.replayed(Finding::Agrees { next: blocked.message });
        }
        let raised = self.raised.lock().unwrap_or_else(PoisonError::into_inner).take();
        self.notes.extend(raised.map(|error| format!("the code has raised: {error}")));
        self.replayed(Finding::Differs { blocked: Box::new(blocked) })
    }

    fn replayed(&mut self, finding: Finding) -> Replayed {
        let (run, build) = (self.run.id(), self.build.clone());
        Replayed { run, build, finding, notes: std::mem::take(&mut self.notes) }
    }
}

/// Code whose error is heard.
struct Listened {
    workflow: Arc<dyn Workflow>,
    raised: Arc<Mutex<Option<String>>>,
}

impl Workflow for Listened {
    fn call(&self, ctx: Ctx, input: Value) -> BoxFuture<'static, Result<Value, Error>> {
        let (running, raised) = (self.workflow.call(ctx, input), self.raised.clone());
        Box::pin(async move {
            let ended = running.await;
            if let Err(error) = &ended {
                let said = Some(error.to_string());
                *raised.lock().unwrap_or_else(PoisonError::into_inner) = said;
            }
            ended
        })
    }
}

fn marker_words(record: &NewRecord) -> Option<String> {
    Some(match record.detail().ok()? {
        Marker::Patched(id) => format!("it takes the new path of patch `{id}`"),
        Marker::Removed(name) => format!("the code has removed `{name}`"),
        Marker::Orphaned(key) => format!("`{key}` is recorded and not asked for any more"),
        Marker::Cleanup => "cleanup begins".to_owned(),
    })
}

fn begin_words(kind: EffectKind, key: &StepKey, attempt: u32) -> String {
    match kind {
        EffectKind::Attempt if attempt > 1 => format!("runs `{key}`, attempt {attempt}"),
        EffectKind::Attempt => format!("runs `{key}`"),
        EffectKind::Verify => format!("asks the receiver whether `{key}` went through"),
    }
}

fn record_words(record: &NewRecord) -> String {
    let key = &record.key;
    match record.kind {
        Kind::Intent => format!("runs the `once` step `{key}`"),
        Kind::Emit => format!("publishes `{key}`"),
        Kind::Attempt => format!("tries `{key}` again"),
        Kind::Open => match record.detail() {
            Ok(Open::Timer { .. }) => format!("sleeps at `{key}`"),
            Ok(Open::Event(event)) => format!("waits for an event on `{}` at `{key}`", event.topic),
            Ok(Open::Child(child)) => format!("starts `{}` as `{key}`", child.workflow),
            Ok(Open::Approval(ask)) if ask.kind == ApprovalKind::Settle => ask.title,
            Ok(Open::Approval(ask)) => format!("asks a person at `{key}`: {}", ask.title),
            Err(_) => format!("opens `{key}`"),
        },
        _ => format!("records the outcome of `{key}`"),
    }
}

fn wait_words(wait: &Wait) -> String {
    let mut leaves = Vec::new();
    collect(wait, &mut leaves);
    format!("waits for {}", joined(&leaves))
}

fn collect(wait: &Wait, leaves: &mut Vec<String>) {
    match wait {
        Wait::Key(key) => leaves.push(format!("`{key}`")),
        Wait::Until(_) => leaves.push("the next attempt".to_owned()),
        Wait::Any(waits) | Wait::All(waits) | Wait::First(waits) => {
            for wait in waits {
                collect(wait, leaves);
            }
        }
    }
}

/// The first few, and how many more.
fn joined<'a>(words: impl IntoIterator<Item = &'a String>) -> String {
    const SHOWN: usize = 3;
    let words: Vec<_> = words.into_iter().map(String::as_str).collect();
    let shown = words[..words.len().min(SHOWN)].join(", ");
    match words.len().saturating_sub(SHOWN) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}
