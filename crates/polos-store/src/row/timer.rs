//! Timers: what is to happen at a time, whatever the run's state.

use polos_protocol::{Millis, Namespace, RunId, StepKey};

/// A timer. Its key is all of its fields but the kind's: (namespace, run, kind, key).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct TimerRow {
    /// When it is due.
    pub at: Millis,
    /// The run's namespace.
    pub namespace: Namespace,
    /// The run it is for.
    pub run: RunId,
    /// What it does.
    pub kind: TimerKind,
    /// The opened wait it resolves; empty for the run as a whole.
    pub key: StepKey,
}

/// What a timer does when it is due. Persisted by number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum TimerKind {
    /// Resolves an opened timer.
    Open = 1,
    /// Resolves an opened event or approval with the error `timeout`.
    Deadline = 2,
    /// Wakes a parked run whose tree has a bare time.
    Until = 3,
    /// The run's own deadline.
    RunDeadline = 4,
    /// The end of the time for cleanup after a cancellation.
    Cleanup = 5,
}

impl TimerKind {
    /// Reads a persisted number.
    pub fn from_number(number: u8) -> Option<Self> {
        [Self::Open, Self::Deadline, Self::Until, Self::RunDeadline, Self::Cleanup]
            .into_iter()
            .find(|kind| *kind as u8 == number)
    }
}
