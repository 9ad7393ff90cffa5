//! What the engine remembers of a run's journal while the run is in memory: where it stands, which
//! keys are taken, and what is open.

use polos_protocol::record::{Open, OpenApproval, ResetDetail, ResolvedDetail};
use polos_protocol::supersede::{Mark, Superseded};
use polos_protocol::wait::Leaf;
use polos_protocol::{ApprovalId, Kind, Millis, RunId, StepKey};
use polos_store::read::RecordMark;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// A journal in memory, without its values.
#[derive(Debug, Clone, Default)]
pub(crate) struct Journal {
    /// The highest sequence number.
    pub(crate) seq: u64,
    /// Its bytes, about.
    pub(crate) bytes: u64,
    /// The highest `n` of the present assignment.
    pub(crate) n: u64,
    /// When the last record came.
    pub(crate) at: Millis,
    /// How many children were opened.
    pub(crate) children: u32,
    /// What was opened and has no outcome.
    pub(crate) opens: BTreeMap<StepKey, OpenWait>,
    /// What was opened and given up since it was last asked.
    given_up: Vec<(StepKey, OpenWait)>,
    marks: Vec<Line>,
    keys: HashMap<StepKey, Taken>,
    superseded: Superseded,
}

/// One record, in short.
#[derive(Debug, Clone)]
struct Line {
    seq: u64,
    kind: Kind,
    key: StepKey,
    ok: bool,
    /// The place up to which the code had been handed outcomes.
    after: u64,
    open: Option<OpenWait>,
    reset: Option<ResetDetail>,
    resolved: Option<ResolvedDetail>,
}

/// What stands under a key.
#[derive(Debug, Clone, Copy, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own about one key")]
struct Taken {
    step: bool,
    intent: bool,
    open: bool,
    emit: bool,
    lost: bool,
    resolved: Option<bool>,
}

/// Something opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum OpenWait {
    Timer { at: Millis },
    Event { topic: String, signal: bool, deadline: Option<Millis> },
    Child { run: RunId, workflow: String, detached: bool },
    Approval { id: ApprovalId, title: String, deadline: Option<Millis> },
}

impl OpenWait {
    /// The name from which the id of a child or an approval derives. A bare `#0` is in no key that
    /// code can make, so that it is nobody else's.
    pub(crate) fn name(key: &StepKey, earlier: usize) -> String {
        if earlier == 0 { key.as_str().to_owned() } else { format!("{key}#0{earlier}") }
    }

    /// Reads what an `open` record asks for. `earlier` counts the superseded opens of this key: the
    /// ids of children and approvals derive from it too, so that a retry gets new ones.
    pub(crate) fn new(open: &Open, run: RunId, key: &StepKey, earlier: usize) -> Self {
        let name = Self::name(key, earlier);
        match open {
            Open::Timer { at } => Self::Timer { at: *at },
            Open::Event(event) => Self::Event {
                topic: event.topic.clone(),
                signal: event.signal,
                deadline: event.deadline_ms,
            },
            Open::Child(child) => Self::Child {
                run: RunId::derived(run.bytes(), &name),
                workflow: child.workflow.clone(),
                detached: child.detached,
            },
            Open::Approval(OpenApproval { title, deadline_ms, .. }) => Self::Approval {
                id: ApprovalId::derived(run.bytes(), &name),
                title: title.clone(),
                deadline: *deadline_ms,
            },
        }
    }
}

/// Why a worker's record does not fit the journal.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Misfit {
    #[error("record {got} came where {want} was due")]
    Gap { want: u64, got: u64 },
    #[error("the key `{0}` is taken by another record of this kind")]
    Taken(StepKey),
    #[error("a worker may not write a `{0}` record")]
    NotYours(&'static str),
    #[error("the {what} has {size} bytes; the limit is {limit}")]
    TooLarge { what: &'static str, size: usize, limit: usize },
    #[error("the detail of a `{kind}` record does not read: {message}")]
    Detail { kind: &'static str, message: String },
}

impl Journal {
    /// Builds the journal of a run from what the store holds.
    pub(crate) fn load(
        run: RunId,
        assignment: u64,
        marks: impl IntoIterator<Item = RecordMark>,
    ) -> Self {
        let mut journal = Self::default();
        let mut opened: HashMap<StepKey, usize> = HashMap::new();
        for mark in marks {
            (journal.seq, journal.at) = (mark.seq, mark.at);
            journal.bytes += mark.size;
            if mark.assignment == assignment {
                journal.n = journal.n.max(mark.n);
            }
            let detail = mark.detail.as_deref().map(serde_json::value::RawValue::get);
            let open = match (mark.kind, detail) {
                (Kind::Open, Some(text)) => serde_json::from_str::<Open>(text).ok(),
                _ => None,
            };
            let reset = match (mark.kind, detail) {
                (Kind::Reset, Some(text)) => serde_json::from_str(text).ok(),
                _ => None,
            };
            let resolved = match (mark.kind, detail) {
                (Kind::Resolved, Some(text)) => serde_json::from_str(text).ok(),
                _ => None,
            };
            let open = open.map(|open| {
                let earlier = opened.entry(mark.key.clone()).or_default();
                *earlier += 1;
                OpenWait::new(&open, run, &mark.key, *earlier - 1)
            });
            let RecordMark { seq, kind, key, ok, after, .. } = mark;
            journal.marks.push(Line { seq, kind, key, ok, after, open, reset, resolved });
        }
        journal.recount();
        journal
    }

    /// How many records there are.
    pub(crate) fn len(&self) -> u64 {
        self.marks.len() as u64
    }

    /// How often this key was opened before and taken back.
    pub(crate) fn earlier_opens(&self, key: &StepKey) -> usize {
        if self.superseded.is_empty() {
            return 0;
        }
        self.marks.iter().filter(|line| line.kind == Kind::Open && line.key == *key).count()
    }

    /// Checks that a worker's record may stand next.
    pub(crate) fn check(&self, kind: Kind, key: &StepKey) -> Result<(), Misfit> {
        let taken = self.keys.get(key).copied().unwrap_or_default();
        let clash = match kind {
            Kind::Step => taken.step || taken.open || taken.emit,
            Kind::Intent => taken.intent || taken.step,
            Kind::Open => taken.open || taken.step || taken.emit,
            Kind::Emit => taken.emit || taken.step || taken.open,
            Kind::Attempt | Kind::Marker => false,
            Kind::Lost => taken.lost,
            other => return Err(Misfit::NotYours(other.name())),
        };
        if clash { Err(Misfit::Taken(key.clone())) } else { Ok(()) }
    }

    /// Adds a record that was checked, at the next place.
    pub(crate) fn add(&mut self, added: Added<'_>) -> u64 {
        self.seq += 1;
        self.bytes += added.size as u64;
        self.at = self.at.max(added.at);
        if let Some(n) = added.n {
            self.n = n;
        }
        let line = Line {
            seq: self.seq,
            kind: added.kind,
            key: added.key.clone(),
            ok: added.ok,
            after: added.after,
            open: added.open,
            reset: added.reset.cloned(),
            resolved: added.resolved.cloned(),
        };
        let is_reset = line.reset.is_some();
        self.take(&line);
        self.marks.push(line);
        if is_reset {
            self.recount();
        }
        self.seq
    }

    /// How a leaf of a wait tree stands.
    pub(crate) fn leaf(&self, key: &StepKey) -> Leaf {
        match self.keys.get(key).and_then(|taken| taken.resolved) {
            Some(true) => Leaf::Value,
            Some(false) => Leaf::Error,
            None => Leaf::Pending,
        }
    }

    /// True if the key was opened and has no outcome.
    pub(crate) fn is_open(&self, key: &StepKey) -> bool {
        self.opens.contains_key(key)
    }

    /// The records that a retry has taken back.
    pub(crate) fn superseded(&self) -> &Superseded {
        &self.superseded
    }

    /// True if a cancellation stands behind this place.
    pub(crate) fn is_cancelled_after(&self, seq: u64) -> bool {
        let behind = self.marks.iter().rev().take_while(|line| line.seq > seq);
        behind.filter(|line| line.kind == Kind::Cancel).count() > 0
    }

    /// True if a cancellation stands that no retry has taken back.
    pub(crate) fn is_cancelled(&self) -> bool {
        self.standing().any(|line| line.kind == Kind::Cancel)
    }

    /// The place of the first standing record under a key.
    pub(crate) fn first_seq(&self, key: &StepKey) -> Option<u64> {
        self.standing().find(|line| line.key == *key).map(|line| line.seq)
    }

    /// The place of the standing record under a key that has an error.
    pub(crate) fn failed_seq(&self, key: &StepKey) -> Option<u64> {
        self.standing()
            .find(|line| line.key == *key && !line.ok && line.kind != Kind::Attempt)
            .map(|line| line.seq)
    }

    /// `once` steps that something is recorded of from a place on, as keys: they would act again if
    /// that were taken back. The intent itself may stand before it.
    pub(crate) fn once_from(&self, seq: u64) -> BTreeSet<StepKey> {
        let intended = |key: &StepKey| self.keys.get(key).is_some_and(|taken| taken.intent);
        self.standing()
            .filter(|l| l.seq >= seq && matches!(l.kind, Kind::Intent | Kind::Attempt | Kind::Step))
            .filter(|line| intended(&line.key))
            .map(|line| line.key.clone())
            .collect()
    }

    /// True if a `once` step's intent stands under this key.
    pub(crate) fn is_intended(&self, key: &StepKey) -> bool {
        self.keys.get(key).is_some_and(|taken| taken.intent)
    }

    /// Intents that stand and have no outcome, as keys.
    pub(crate) fn in_doubt(&self) -> Vec<StepKey> {
        self.keys.iter().filter(|(_, t)| t.intent && !t.step).map(|(key, _)| key.clone()).collect()
    }

    /// What was opened from a place on, with its outcome or not.
    pub(crate) fn opened_from(&self, seq: u64) -> Vec<(StepKey, OpenWait)> {
        self.standing()
            .filter(|line| line.seq >= seq)
            .filter_map(|line| line.open.clone().map(|open| (line.key.clone(), open)))
            .collect()
    }

    fn standing(&self) -> impl Iterator<Item = &Line> {
        self.marks.iter().filter(|line| !self.superseded.contains(line.seq))
    }

    fn recount(&mut self) {
        let marks = self.marks.iter();
        self.superseded = Superseded::of(marks.map(|line| Mark {
            seq: line.seq,
            kind: line.kind,
            key: &line.key,
            reset: line.reset.as_ref(),
        }));
        self.keys.clear();
        self.opens.clear();
        self.children = 0;
        let marks = std::mem::take(&mut self.marks);
        for line in &marks {
            if !self.superseded.contains(line.seq) {
                self.take(line);
            }
        }
        self.marks = marks;
        self.given_up.clear();
    }

    /// What was opened within a scope and given up, taken out.
    pub(crate) fn lost(&mut self, scope: &StepKey) -> Vec<(StepKey, OpenWait)> {
        let (lost, rest) = std::mem::take(&mut self.given_up)
            .into_iter()
            .partition(|(key, _)| key.is_within(scope));
        self.given_up = rest;
        lost
    }

    /// Events and signals that came for a scope after a place in the journal: nobody has seen them.
    pub(crate) fn unseen_within(&self, scope: &StepKey, after: u64) -> Vec<ResolvedDetail> {
        self.standing()
            .filter(|line| line.seq > after && line.key.is_within(scope))
            .filter_map(|line| line.resolved.clone())
            .filter(|detail| detail.position.is_some())
            .collect()
    }

    /// Events and signals that the standing records have consumed, with their places in the
    /// journal. A wait that was given up before its outcome was seen has consumed nothing.
    pub(crate) fn consumed(&self) -> Vec<(u64, ResolvedDetail)> {
        let lost: Vec<&Line> = self.standing().filter(|line| line.kind == Kind::Lost).collect();
        let is_seen = |line: &&Line| {
            !lost.iter().any(|lost| line.key.is_within(&lost.key) && line.seq > lost.after)
        };
        self.standing()
            .filter(|line| line.resolved.as_ref().is_some_and(|detail| detail.position.is_some()))
            .filter(is_seen)
            .filter_map(|line| Some((line.seq, line.resolved.clone()?)))
            .collect()
    }

    fn take(&mut self, line: &Line) {
        if matches!(
            line.kind,
            Kind::Cancel | Kind::Reset | Kind::Verb | Kind::Marker | Kind::Attempt
        ) {
            return;
        }
        let taken = self.keys.entry(line.key.clone()).or_default();
        match line.kind {
            Kind::Step => taken.step = true,
            Kind::Intent => taken.intent = true,
            Kind::Emit => taken.emit = true,
            Kind::Lost => {
                taken.lost = true;
                let scope = &line.key;
                let keys: Vec<StepKey> =
                    self.opens.keys().filter(|key| key.is_within(scope)).cloned().collect();
                for key in keys {
                    self.given_up.extend(self.opens.remove(&key).map(|open| (key, open)));
                }
            }
            Kind::Resolved => {
                taken.resolved = Some(line.ok);
                self.opens.remove(&line.key);
            }
            Kind::Open => {
                taken.open = true;
                if let Some(open) = &line.open {
                    if matches!(open, OpenWait::Child { .. }) {
                        self.children += 1;
                    }
                    if !matches!(open, OpenWait::Child { detached: true, .. }) {
                        self.opens.insert(line.key.clone(), open.clone());
                    }
                }
            }
            _ => {}
        }
    }
}

/// A record to be added.
#[derive(Debug)]
pub(crate) struct Added<'a> {
    pub(crate) kind: Kind,
    pub(crate) key: &'a StepKey,
    pub(crate) ok: bool,
    pub(crate) after: u64,
    pub(crate) at: Millis,
    pub(crate) size: usize,
    pub(crate) n: Option<u64>,
    pub(crate) open: Option<OpenWait>,
    pub(crate) reset: Option<&'a ResetDetail>,
    pub(crate) resolved: Option<&'a ResolvedDetail>,
}
