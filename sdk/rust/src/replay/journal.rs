//! The journal as the machine sees it: what is recorded under each key, and what has not yet been
//! handed to the code.

use crate::replay::RequestId;
use crate::replay::hash::{Map, Set};
use crate::replay::request::open_name;
use polos_protocol::record::{ApprovalKind, AttemptDetail, IntentDetail, Marker, Open};
use polos_protocol::{Failure, Kind, Millis, Record, StepKey, Value};
use std::collections::{BTreeMap, BTreeSet, HashSet, VecDeque};
use std::sync::Arc;

/// What the journal holds under one key, until its outcome has been handed to the code.
#[derive(Debug)]
pub(crate) struct Slot {
    pub(crate) first_seq: u64,
    pub(crate) build: Option<Arc<str>>,
    pub(crate) sort: Sort,
    pub(crate) fingerprint: Option<Arc<str>>,
    pub(crate) intent: Option<Intent>,
    /// The last journaled failed attempt, and when the next one is due.
    pub(crate) attempts: u32,
    pub(crate) next_ms: Millis,
    /// How many answers to the machine's question were "not done".
    pub(crate) settled_used: u32,
    /// How many orders by the verb were "not done".
    pub(crate) verbs_used: u32,
    pub(crate) has_outcome: bool,
    /// The code has given it up: outcomes are ignored.
    pub(crate) lost: bool,
    pub(crate) inserted: bool,
    /// Outcomes set aside until the code asks.
    pub(crate) held: Vec<u64>,
    pub(crate) request: Option<RequestId>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Intent {
    pub(crate) timeout_ms: u64,
    /// The assignment that began to act.
    pub(crate) assignment: u64,
}

/// What sort of thing is recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sort {
    Step,
    Timer,
    Event,
    Child,
    Approval,
    /// The question to a person about a step in doubt: the machine's own.
    Settle,
    Emit,
}

impl Sort {
    pub(crate) fn of(open: &Open) -> Self {
        match open {
            Open::Timer { .. } => Self::Timer,
            Open::Event(_) => Self::Event,
            Open::Child(_) => Self::Child,
            Open::Approval(question) if question.kind == ApprovalKind::Settle => Self::Settle,
            Open::Approval(_) => Self::Approval,
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Step => "step",
            Self::Timer => "timer",
            Self::Event => "event",
            Self::Child => "child",
            Self::Approval => "approval",
            Self::Settle => "settle question",
            Self::Emit => "published event",
        }
    }
}

impl Slot {
    pub(crate) fn new(first_seq: u64, build: Option<Arc<str>>, sort: Sort) -> Self {
        Self {
            first_seq,
            build,
            sort,
            fingerprint: None,
            intent: None,
            attempts: 0,
            next_ms: 0,
            settled_used: 0,
            verbs_used: 0,
            has_outcome: false,
            lost: false,
            inserted: false,
            held: Vec::new(),
            request: None,
        }
    }

    /// True for what must not be forgotten silently: it may have acted, or lives on its own.
    pub(crate) fn is_grave(&self) -> bool {
        self.intent.is_some() || self.sort == Sort::Child
    }

    pub(crate) fn describe(&self, key: &StepKey) -> String {
        let once = if self.intent.is_some() { "once " } else { "" };
        let build = self.build.as_deref().unwrap_or("?");
        format!("{:>5}  {once}{} `{key}` (build {build})", self.first_seq, self.sort.name())
    }
}

/// A record whose turn is to come.
#[derive(Debug, Clone)]
pub(crate) struct Item {
    pub(crate) seq: u64,
    pub(crate) at: Millis,
    pub(crate) kind: Kind,
    pub(crate) key: StepKey,
    pub(crate) value: Option<Value>,
    pub(crate) error: Option<Box<Failure>>,
    pub(crate) inserted: bool,
    /// The request it answers, where the machine knows it already.
    pub(crate) request: Option<RequestId>,
}

/// All that the machine knows of the journal.
#[derive(Debug, Default)]
pub(crate) struct Journal {
    pub(crate) slots: Map<StepKey, Slot>,
    /// Recorded requests that the code has not made yet, by their first record.
    pub(crate) unasked: BTreeMap<u64, StepKey>,
    /// What has not had its turn, in order.
    pub(crate) queue: VecDeque<Item>,
    /// Outcomes set aside because newer code has not asked for them yet.
    pub(crate) held: BTreeMap<u64, Item>,
    /// Held outcomes that have been asked for since.
    pub(crate) ready: BTreeSet<u64>,
    /// Keys whose lost race is recorded.
    pub(crate) lost: Set<StepKey>,
    /// Keys of `patched` markers.
    pub(crate) patched: Set<StepKey>,
    /// Names that were declared removed, and orphans already warned of.
    pub(crate) noted: HashSet<String>,
}

impl Journal {
    /// So many records are about to come.
    pub(crate) fn reserve(&mut self, records: usize) {
        self.slots.reserve(records);
        self.queue.reserve(records);
    }

    /// Takes in a record that this process did not write itself.
    pub(crate) fn index(&mut self, record: Record) -> serde_json::Result<()> {
        match record.kind() {
            Kind::Step => self.index_step(&record)?,
            Kind::Intent => self.index_intent(&record)?,
            Kind::Attempt => self.index_attempt(&record)?,
            Kind::Open => self.index_open(&record)?,
            Kind::Emit => self.slot(&record, Sort::Emit).has_outcome = true,
            Kind::Resolved => {
                if let Some(slot) = self.slots.get_mut(record.key()) {
                    slot.has_outcome = true;
                }
            }
            Kind::Lost => {
                self.lost.insert(record.key().clone());
            }
            Kind::Marker => self.index_marker(&record)?,
            Kind::Cancel | Kind::Reset | Kind::Verb => {}
        }
        if matches!(
            record.kind(),
            Kind::Step | Kind::Open | Kind::Emit | Kind::Resolved | Kind::Cancel
        ) {
            self.enqueue(record);
        }
        Ok(())
    }

    fn enqueue(&mut self, record: Record) {
        let inserted = self.slots.get(record.key()).is_some_and(|slot| slot.inserted);
        self.queue.push_back(Item {
            seq: record.seq,
            at: record.at,
            kind: record.record.kind,
            key: record.record.key,
            value: record.record.value,
            error: record.record.error.map(Box::new),
            inserted,
            request: None,
        });
    }

    fn slot(&mut self, record: &Record, sort: Sort) -> &mut Slot {
        let unasked = &mut self.unasked;
        self.slots.entry(record.key().clone()).or_insert_with(|| {
            if sort != Sort::Settle {
                unasked.insert(record.seq, record.key().clone());
            }
            Slot::new(record.seq, record.build.clone(), sort)
        })
    }

    fn index_step(&mut self, record: &Record) -> serde_json::Result<()> {
        let detail: Option<Inserted> = record.record.detail()?;
        let slot = self.slot(record, Sort::Step);
        slot.has_outcome = true;
        slot.inserted |= detail.is_some_and(|d| d.inserted);
        if let Some(fingerprint) = &record.record.fingerprint {
            slot.fingerprint = Some(fingerprint.clone());
        }
        Ok(())
    }

    fn index_intent(&mut self, record: &Record) -> serde_json::Result<()> {
        let detail: IntentDetail = record.record.detail()?;
        let slot = self.slot(record, Sort::Step);
        slot.intent = Some(Intent { timeout_ms: detail.timeout_ms, assignment: record.assignment });
        if let Some(fingerprint) = &record.record.fingerprint {
            slot.fingerprint = Some(fingerprint.clone());
        }
        Ok(())
    }

    fn index_attempt(&mut self, record: &Record) -> serde_json::Result<()> {
        let detail: AttemptDetail = record.record.detail()?;
        let code = record.record.error.as_ref().map_or("", |error| &error.code);
        let (settled, verb) = (code == SETTLED_NOT_DONE, code == SETTLED_BY_VERB);
        let slot = self.slot(record, Sort::Step);
        slot.attempts = slot.attempts.max(detail.attempt);
        slot.next_ms = detail.next_ms;
        slot.settled_used += u32::from(settled);
        slot.verbs_used += u32::from(verb);
        Ok(())
    }

    fn index_open(&mut self, record: &Record) -> serde_json::Result<()> {
        let open: Open = record.record.detail()?;
        let slot = self.slot(record, Sort::of(&open));
        slot.fingerprint.clone_from(&record.record.fingerprint);
        if let Open::Child(child) = &open {
            slot.has_outcome |= child.detached;
        }
        tracing::trace!(key = %record.key(), what = open_name(&open), "opened before");
        Ok(())
    }

    fn index_marker(&mut self, record: &Record) -> serde_json::Result<()> {
        match record.record.detail()? {
            Marker::Patched(_) => {
                self.patched.insert(record.key().clone());
            }
            Marker::Removed(name) => {
                self.noted.insert(removed_note(record.key(), &name));
            }
            Marker::Orphaned(key) => {
                self.noted.insert(key);
            }
            Marker::Cleanup => {
                self.noted.insert(format!("cleanup {}", record.key()));
            }
        }
        Ok(())
    }

    /// The code has asked for `key`: nothing recorded under it is unasked any more.
    pub(crate) fn asked(&mut self, key: &StepKey, request: RequestId) {
        let Some(slot) = self.slots.get_mut(key) else { return };
        slot.request = Some(request);
        self.unasked.remove(&slot.first_seq);
        self.ready.extend(slot.held.drain(..));
    }

    /// Sets an outcome aside until the code asks for its key.
    pub(crate) fn hold(&mut self, item: Item) {
        if let Some(slot) = self.slots.get_mut(&item.key) {
            slot.held.push(item.seq);
        }
        self.held.insert(item.seq, item);
    }

    /// True while outcomes up to `frontier`, recorded before this process had the run, are still
    /// to be handed to the code.
    pub(crate) fn has_history(&self, frontier: u64) -> bool {
        !self.ready.is_empty() || self.queue.front().is_some_and(|item| item.seq <= frontier)
    }
}

/// The part of a step's detail that replay looks at: journals are long, so nothing else is read.
#[derive(serde::Deserialize)]
struct Inserted {
    #[serde(default)]
    inserted: bool,
}

/// The code of an attempt that a person's "not done" ended, as an answer to the question.
pub(crate) const SETTLED_NOT_DONE: &str = "settled_not_done";
/// The same, as an operator's verb.
pub(crate) const SETTLED_BY_VERB: &str = "settled_by_verb";

pub(crate) fn removed_note(scope: &StepKey, name: &str) -> String {
    format!("removed {scope} {name}")
}
