//! Runs that stay in memory for a while though no worker has them, within a limit: those that are
//! parked and wait for a crowd, so that ten thousand children that end do not have their parent's
//! journal read ten thousand times; and new ones, so that giving them to a worker reads nothing.

use super::Engine;
use crate::live::Live;
use polos_protocol::{RunId, State};
use std::collections::{BTreeMap, HashMap};

/// A parked run with fewer waits open is read again when it is needed.
const OPENS_MIN: usize = 32;
/// How many records of journals are kept for runs without a worker, in all.
const RECORDS_MAX: u64 = 50_000;

/// What a new run counts for: its row and its input, though it has no record yet.
const FRESH_RECORDS: u64 = 12;

/// The runs without a worker that are in memory, by when they were last touched.
#[derive(Debug, Default)]
pub(super) struct Crowd {
    by_age: BTreeMap<u64, RunId>,
    known: HashMap<RunId, (u64, u64)>,
    records: u64,
    clock: u64,
}

impl Crowd {
    /// A run was touched, and has so many records.
    fn touch(&mut self, run: RunId, records: u64) {
        self.forget(run);
        self.clock += 1;
        self.by_age.insert(self.clock, run);
        self.known.insert(run, (self.clock, records));
        self.records += records;
    }

    fn forget(&mut self, run: RunId) {
        if let Some((age, records)) = self.known.remove(&run) {
            self.by_age.remove(&age);
            self.records -= records;
        }
    }

    /// The run that was not touched for the longest, if there are too many.
    fn pop_excess(&mut self) -> Option<RunId> {
        if self.records <= RECORDS_MAX {
            return None;
        }
        let run = *self.by_age.first_key_value()?.1;
        self.forget(run);
        Some(run)
    }
}

impl Engine {
    /// Forgets the runs of the last batch that no worker has, but for those that wait for many, and
    /// new ones.
    pub(super) fn evict(&mut self) {
        for run in std::mem::take(&mut self.touched) {
            match self.runs.get(&run) {
                Some(live) if live.held.is_some() => self.crowd.forget(run),
                Some(live) if waits_for_many(live) => {
                    self.crowd.touch(run, live.journal.len());
                }
                Some(live) if live.is_fresh() => self.crowd.touch(run, FRESH_RECORDS),
                _ => {
                    self.crowd.forget(run);
                    self.runs.remove(&run);
                }
            }
        }
        while let Some(run) = self.crowd.pop_excess() {
            if self.runs.get(&run).is_some_and(|live| live.held.is_none()) {
                self.runs.remove(&run);
            }
        }
    }
}

fn waits_for_many(live: &Live) -> bool {
    live.run.status.state == State::Waiting && live.journal.opens.len() >= OPENS_MIN
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(number: u8) -> RunId {
        RunId::from_bytes([number; 16])
    }

    #[test]
    fn the_records_kept_are_limited_and_the_oldest_goes_first() {
        let mut crowd = Crowd::default();
        crowd.touch(run(1), RECORDS_MAX / 2);
        crowd.touch(run(2), RECORDS_MAX / 2);
        assert_eq!(crowd.pop_excess(), None);
        crowd.touch(run(1), RECORDS_MAX / 2 + 1);
        assert_eq!(crowd.pop_excess(), Some(run(2)));
        assert_eq!(crowd.pop_excess(), None);
        crowd.forget(run(1));
        assert_eq!((crowd.records, crowd.by_age.len(), crowd.known.len()), (0, 0, 0));
    }
}
