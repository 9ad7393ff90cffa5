//! A run in the engine's memory: its row, its journal in short, and the worker that has it.

use crate::journal::Journal;
use polos_protocol::wait::Leaf;
use polos_protocol::{Millis, Record, RunId, State, Wait, WorkerId};
use polos_store::row::{Run, SignalRow};

/// A new run with a larger input does not stay in memory while it waits for a worker.
const FRESH_INPUT_BYTES_MAX: u64 = 4 << 10;

/// A run in memory. What stands here is newer than the store, or the same.
#[derive(Debug)]
pub(crate) struct Live {
    /// Its row and where it stands.
    pub(crate) run: Run,
    /// Its journal in short.
    pub(crate) journal: Journal,
    /// The worker that has it, if one has.
    pub(crate) held: Option<Holding>,
    /// True if its status is to be written with the present command.
    pub(crate) dirty: bool,
    /// Its inbox, once it was needed.
    pub(crate) inbox: Option<Vec<SignalRow>>,
    /// The last place of its live output, once it was needed.
    pub(crate) stream_at: Option<u64>,
}

/// A run in the hands of a worker.
#[derive(Debug)]
pub(crate) struct Holding {
    /// The worker.
    pub(crate) worker: WorkerId,
    /// How far it is with it.
    pub(crate) phase: Phase,
    /// Up to where the worker has been sent the journal; None before it was sent the run itself.
    pub(crate) sent_seq: Option<u64>,
    /// Up to where the pages go that are on their way to the worker.
    pub(crate) paging: Option<u64>,
    /// While the worker's own records are taken in: those, and what the server adds to them.
    pub(crate) echo: Option<Vec<Record>>,
    /// Records kept back until the run has its slot again.
    pub(crate) kept_back: Vec<Record>,
    /// When the server looks whether the run is wedged.
    pub(crate) watch_at: Millis,
    /// True once it recorded something under this assignment.
    pub(crate) progressed: bool,
    /// True if it counts against the worker's and the queue's slots.
    pub(crate) in_slot: bool,
}

/// How far a worker is with a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Phase {
    /// It has been given and not yet accepted.
    Given { accept_by: Millis },
    /// It works.
    Active,
    /// It waits in the worker's memory.
    Hot { wait: Wait },
    /// What it waited for has come; it waits for its slot.
    Resuming,
}

impl Live {
    pub(crate) fn new(run: Run, journal: Journal) -> Self {
        Self { run, journal, held: None, dirty: false, inbox: None, stream_at: None }
    }

    pub(crate) fn id(&self) -> RunId {
        self.run.row.id
    }

    /// True for a new run that waits for a worker, and is small enough to wait in memory.
    pub(crate) fn is_fresh(&self) -> bool {
        self.run.status.state == State::Queued
            && self.journal.seq == 0
            && self.run.row.input.size() <= FRESH_INPUT_BYTES_MAX
    }

    /// True if `wait` has come true by what the journal holds.
    pub(crate) fn is_true(&self, wait: &Wait, now: Millis) -> bool {
        wait.is_true(now, &mut |key| self.journal.leaf(key))
    }

    /// Whether a wait can ever be true: what it names is open or has its outcome.
    pub(crate) fn can_end(&self, wait: &Wait) -> bool {
        let journal = &self.journal;
        wait.can_end(&|key| journal.is_open(key) || journal.leaf(key) != Leaf::Pending)
    }

    /// True if the worker has been sent everything there is.
    pub(crate) fn is_up_to_date(&self) -> bool {
        self.held.as_ref().is_some_and(|held| {
            held.paging.is_none()
                && held.sent_seq == Some(self.journal.seq)
                && held.kept_back.is_empty()
        })
    }
}
