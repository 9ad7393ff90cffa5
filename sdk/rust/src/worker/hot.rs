//! The runs that wait in memory, within limits: beyond them, the one that has waited longest parks
//! at once.

use crate::replay::Input;
use crate::worker::task::Note;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::mpsc;

/// How many runs may wait in a worker's memory unless it says otherwise.
pub const HOT_RUNS_MAX: usize = 10_000;
/// How many bytes they may hold in all, about, unless it says otherwise.
pub const HOT_BYTES_MAX: u64 = 256 << 20;
/// What a waiting run counts for beside its values: its task, its replay, and the code's own state.
const RUN_BYTES: u64 = 8 << 10;

/// How much may wait in memory.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) runs: usize,
    pub(crate) bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { runs: HOT_RUNS_MAX, bytes: HOT_BYTES_MAX }
    }
}

/// The runs that wait in memory. One that is asked to park is counted no more.
#[derive(Debug)]
pub(crate) struct Hot {
    limits: Limits,
    runs: Mutex<Runs>,
}

#[derive(Debug, Default)]
struct Runs {
    by_age: BTreeMap<Ticket, Waiter>,
    bytes: u64,
    last: u64,
}

#[derive(Debug)]
struct Waiter {
    bytes: u64,
    notes: mpsc::UnboundedSender<Note>,
}

/// One wait of one run, in the order in which they began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Ticket(u64);

impl Hot {
    pub(crate) fn new(limits: Limits) -> Self {
        Self { limits, runs: Mutex::default() }
    }

    fn runs(&self) -> MutexGuard<'_, Runs> {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A run begins to wait whose code was handed values of so many bytes. Whoever has waited
    /// longest makes room: it hears of it as a note, and if it has gone on meanwhile, nothing comes
    /// of that.
    pub(crate) fn enter(&self, bytes: u64, notes: mpsc::UnboundedSender<Note>) -> Ticket {
        let bytes = bytes.saturating_add(RUN_BYTES);
        let mut runs = self.runs();
        runs.last += 1;
        let ticket = Ticket(runs.last);
        runs.bytes = runs.bytes.saturating_add(bytes);
        runs.by_age.insert(ticket, Waiter { bytes, notes });
        while runs.by_age.len() > self.limits.runs || runs.bytes > self.limits.bytes {
            let Some((_, oldest)) = runs.by_age.pop_first() else { break };
            runs.bytes = runs.bytes.saturating_sub(oldest.bytes);
            let _ = oldest.notes.send(Note::Input(Input::Cool));
        }
        ticket
    }

    /// A run goes on, or has left.
    pub(crate) fn leave(&self, ticket: Ticket) {
        let mut runs = self.runs();
        if let Some(waiter) = runs.by_age.remove(&ticket) {
            runs.bytes = runs.bytes.saturating_sub(waiter.bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Inbox = mpsc::UnboundedReceiver<Note>;

    fn enter(hot: &Hot, bytes: u64) -> (Ticket, Inbox) {
        let (notes, inbox) = mpsc::unbounded_channel();
        (hot.enter(bytes, notes), inbox)
    }

    fn is_told(inbox: &mut Inbox) -> bool {
        matches!(inbox.try_recv(), Ok(Note::Input(Input::Cool)))
    }

    #[test]
    fn beyond_the_number_the_oldest_is_told_and_only_once() {
        let hot = Hot::new(Limits { runs: 2, bytes: u64::MAX });
        let (first, mut first_told) = enter(&hot, 0);
        let (second, mut second_told) = enter(&hot, 0);
        assert!(!is_told(&mut first_told));
        let (_third, mut third_told) = enter(&hot, 0);
        assert_eq!([&mut first_told, &mut second_told].map(is_told), [true, false]);
        hot.leave(first);
        hot.leave(second);
        let (_fourth, mut fourth_told) = enter(&hot, 0);
        let told = [&mut first_told, &mut second_told, &mut third_told, &mut fourth_told];
        assert_eq!(told.map(is_told), [false; 4], "one that left has made room");
    }

    #[test]
    fn beyond_the_bytes_as_many_of_the_oldest_are_told_as_make_room() {
        let hot = Hot::new(Limits { runs: 99, bytes: 3 * RUN_BYTES + 100 });
        let mut small: Vec<(Ticket, Inbox)> = (0..3).map(|_| enter(&hot, 10)).collect();
        let (large, mut large_told) = enter(&hot, 90);
        let told: Vec<bool> = small.iter_mut().map(|(_, inbox)| is_told(inbox)).collect();
        assert_eq!((told, is_told(&mut large_told)), (vec![true, true, false], false));
        hot.leave(large);
        hot.leave(small[2].0);
        let runs = hot.runs();
        assert_eq!((runs.bytes, runs.by_age.len()), (0, 0), "nothing is counted that is not there");
    }

    #[test]
    fn one_that_is_too_large_for_itself_parks_itself() {
        let hot = Hot::new(Limits { runs: 99, bytes: 1 << 20 });
        let (_, mut told) = enter(&hot, 2 << 20);
        assert!(is_told(&mut told));
        assert_eq!(hot.runs().bytes, 0);
    }
}
