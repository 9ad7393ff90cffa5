//! The journal's records folded into one entry a step: an attempt, an intent and an outcome under
//! one key are one thing to a reader.

use super::outcome;
use polos_protocol::record::{
    AttemptDetail, EmitDetail, IntentDetail, Marker, Open, ResetDetail, ResolvedDetail, StepDetail,
    VerbDetail,
};
use polos_protocol::rest::JournalEntry;
use polos_protocol::{Kind, Millis, NewRecord, Record, RunId};
use std::collections::HashMap;

/// The label of a step that has none of its own.
const UNLABELLED: &str = "step";

/// How an entry stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stand {
    /// It has a value.
    Done,
    /// It has an error.
    Failed,
    /// It was opened and has no outcome.
    Waiting,
    /// It failed and will be tried again.
    Retrying,
    /// A `once` step has begun and has no outcome.
    Started,
    /// It lost a race.
    Lost,
    /// It is no step, only told.
    Note,
}

impl Stand {
    /// The sign before an entry; the words beside it say the same.
    pub(crate) fn sign(self) -> char {
        match self {
            Self::Done => '✓',
            Self::Failed => '✗',
            Self::Waiting => '…',
            Self::Retrying => '↻',
            Self::Started => '▸',
            Self::Lost => '–',
            Self::Note => '·',
        }
    }
}

/// One thing that the run did.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    /// The step's key; empty for what concerns the run as a whole.
    pub(crate) key: String,
    /// What sort of thing: `step`, `model`, `timer` and so on.
    pub(crate) label: String,
    /// How it stands.
    pub(crate) stand: Stand,
    /// When its first record was committed.
    pub(crate) began: Millis,
    /// How long it took, once that is known.
    pub(crate) took_ms: Option<u64>,
    /// How often it was tried.
    pub(crate) attempts: u32,
    /// What went wrong on the way, one line an attempt.
    pub(crate) failures: Vec<String>,
    /// What it cost, in millionths of a dollar.
    pub(crate) cost_micros: Option<u64>,
    /// Tokens in and out.
    pub(crate) tokens: Option<[u64; 2]>,
    /// The outcome or the question, in words or as JSON.
    pub(crate) note: String,
    /// The child that it started.
    pub(crate) child: Option<RunId>,
    /// True if a retry took it back.
    pub(crate) superseded: bool,
    /// True for a step that is never blindly repeated.
    pub(crate) once: bool,
}

/// Folds a journal into entries, in the order in which their first records stand.
pub(crate) fn entries(run: RunId, journal: &[JournalEntry]) -> Vec<Entry> {
    let mut fold = Fold { run, entries: Vec::new(), places: HashMap::new() };
    for entry in journal {
        fold.add(entry);
    }
    fold.entries
}

/// A record alone, for a listener who sees them one by one.
pub(crate) fn describe(run: RunId, record: &Record) -> Option<Entry> {
    let entry = JournalEntry { record: record.clone(), superseded: false };
    entries(run, &[entry]).pop()
}

struct Fold {
    run: RunId,
    entries: Vec<Entry>,
    places: HashMap<(String, bool), usize>,
}

impl Fold {
    fn add(&mut self, journal: &JournalEntry) {
        let Record { at, ref record, .. } = journal.record;
        match record.kind {
            Kind::Step => self.step(journal, at, record),
            Kind::Intent => self.intent(journal, at, record),
            Kind::Attempt => self.attempt(journal, at, record),
            Kind::Open => self.open(journal, at, record),
            Kind::Resolved => self.resolved(journal, at, record),
            Kind::Lost => {
                let entry = self.at(journal, at);
                entry.stand = Stand::Lost;
                "lost the race".clone_into(&mut entry.note);
            }
            Kind::Emit | Kind::Marker | Kind::Cancel | Kind::Reset | Kind::Verb => {
                if let Some(note) = told(record) {
                    let entry = blank(journal, at, record.kind.name(), note);
                    self.entries.push(entry);
                }
            }
        }
    }

    fn step(&mut self, journal: &JournalEntry, at: Millis, record: &NewRecord) {
        let detail: StepDetail = record.detail().unwrap_or_default();
        let entry = self.at(journal, at);
        entry.stand = stand_of(record);
        entry.attempts = entry.attempts.max(record.attempt);
        entry.took_ms = record.ended_ms.zip(record.started_ms).map(|(e, s)| e.saturating_sub(s));
        entry.cost_micros = detail.cost_micros;
        entry.tokens = detail.tokens;
        if let Some(label) = detail.label {
            entry.label = label;
        }
        entry.note = outcome::of_step(&entry.label, record);
        entry.once |= detail.effect == polos_protocol::record::Effect::Once;
        entry.failures.extend(detail.last_attempts.iter().map(failure_of));
        if let Some(by) = detail.settled_by {
            entry.note = format!("settled by {by}: {}", entry.note);
        }
        if detail.inserted {
            entry.note = format!("inserted by a newer build: {}", entry.note);
        }
    }

    fn intent(&mut self, journal: &JournalEntry, at: Millis, record: &NewRecord) {
        let detail: Option<IntentDetail> = record.detail().ok();
        let entry = self.at(journal, at);
        entry.stand = Stand::Started;
        entry.once = true;
        "begun; no outcome is recorded yet".clone_into(&mut entry.note);
        if let Some(label) = detail.and_then(|detail| detail.label) {
            entry.label = label;
        }
    }

    fn attempt(&mut self, journal: &JournalEntry, at: Millis, record: &NewRecord) {
        let mut detail: AttemptDetail = record.detail().unwrap_or_default();
        detail.message = record.error.as_ref().map(|e| e.message.clone()).or(detail.message);
        let entry = self.at(journal, at);
        entry.stand = Stand::Retrying;
        entry.attempts = entry.attempts.max(record.attempt + 1);
        entry.failures.push(failure_of(&detail));
    }

    fn open(&mut self, journal: &JournalEntry, at: Millis, record: &NewRecord) {
        let run = self.run;
        let entry = self.at(journal, at);
        entry.stand = Stand::Waiting;
        match record.detail() {
            Ok(Open::Timer { at: due }) => {
                "timer".clone_into(&mut entry.label);
                entry.note = format!("until {}", crate::show::moment::absolute(due));
            }
            Ok(Open::Event(event)) => {
                "event".clone_into(&mut entry.label);
                entry.note = format!("on `{}`", event.topic);
            }
            Ok(Open::Child(child)) => {
                "child".clone_into(&mut entry.label);
                entry.note = format!("`{}`", child.workflow);
                entry.child = Some(RunId::derived(run.bytes(), record.key.as_str()));
                if child.detached {
                    entry.stand = Stand::Done;
                    entry.note.push_str(", detached");
                }
            }
            Ok(Open::Approval(question)) => {
                "person".clone_into(&mut entry.label);
                entry.note = question.title;
            }
            Err(cause) => entry.note = format!("cannot be read: {cause}"),
        }
    }

    fn resolved(&mut self, journal: &JournalEntry, at: Millis, record: &NewRecord) {
        let detail: ResolvedDetail = record.detail().unwrap_or_default();
        let entry = self.at(journal, at);
        entry.stand = stand_of(record);
        entry.took_ms = Some(at.saturating_sub(entry.began));
        if entry.label == UNLABELLED {
            // Its opening stands in an earlier part.
            waited_for(&detail.by).clone_into(&mut entry.label);
        }
        let told = outcome::of_wait(&detail.by, record);
        let asked = std::mem::take(&mut entry.note);
        entry.note = match (detail.by.as_str(), asked.is_empty() || told.is_empty()) {
            (_, true) => asked + &told,
            // A person's answer is what a reader looks for.
            ("approval", _) => format!("{told} · {asked}"),
            _ => format!("{asked}: {told}"),
        };
    }

    /// The entry of this record's key, made if it is the first.
    fn at(&mut self, journal: &JournalEntry, at: Millis) -> &mut Entry {
        let place = (journal.record.key().as_str().to_owned(), journal.superseded);
        let index = *self.places.entry(place).or_insert_with(|| {
            self.entries.push(blank(journal, at, UNLABELLED, String::new()));
            self.entries.len() - 1
        });
        &mut self.entries[index]
    }
}

fn blank(journal: &JournalEntry, at: Millis, label: &str, note: String) -> Entry {
    Entry {
        key: journal.record.key().as_str().to_owned(),
        label: label.to_owned(),
        stand: Stand::Note,
        began: at,
        took_ms: None,
        attempts: 1,
        failures: Vec::new(),
        cost_micros: None,
        tokens: None,
        note,
        child: None,
        superseded: journal.superseded,
        once: false,
    }
}

/// The label of what a wait waited for, by what ended it.
fn waited_for(by: &str) -> &str {
    match by {
        "approval" => "person",
        "" => UNLABELLED,
        other => other,
    }
}

fn stand_of(record: &NewRecord) -> Stand {
    if record.error.is_some() { Stand::Failed } else { Stand::Done }
}

fn failure_of(detail: &AttemptDetail) -> String {
    let message = detail.message.as_deref().unwrap_or("failed");
    format!("attempt {}: {message}", detail.attempt)
}

/// What a record says that is no step; nothing if it goes without saying.
fn told(record: &NewRecord) -> Option<String> {
    match record.kind {
        Kind::Emit => {
            let detail: EmitDetail = record.detail().ok()?;
            let to = detail.run.map(|run| format!(" to {run}")).unwrap_or_default();
            Some(format!("published on `{}`{to}", detail.topic))
        }
        Kind::Marker => Some(match record.detail().ok()? {
            Marker::Patched(id) => format!("takes the new path of patch `{id}`"),
            Marker::Removed(name) => format!("the code has removed `{name}`"),
            Marker::Orphaned(name) => format!("`{name}` was recorded and never asked for again"),
            Marker::Cleanup => "cleanup begins".to_owned(),
        }),
        Kind::Cancel => {
            let why = record.error.as_ref().map(|e| e.message.as_str()).unwrap_or_default();
            Some(format!("cancellation asked for: {why}").trim_end_matches(": ").to_owned())
        }
        Kind::Reset => {
            let detail: ResetDetail = record.detail().ok()?;
            Some(format!("{} ordered a retry from `{}`", detail.by, detail.from_key))
        }
        Kind::Verb => {
            let detail: VerbDetail = record.detail().ok()?;
            let note = detail.note.map(|note| format!(": {note}")).unwrap_or_default();
            Some(format!("{} by {}{note}", detail.verb, detail.by))
        }
        _ => None,
    }
}
