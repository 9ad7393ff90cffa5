//! The timers that are due next: a window of the store's, so that a hundred thousand parked runs
//! cost no memory.

use polos_protocol::{Millis, RunId, StepKey};
use polos_store::row::{TimerKind, TimerRow};
use polos_store::{Read, ReadError};
use std::collections::{BTreeMap, BTreeSet};

/// How many timers the window takes in at once.
const WINDOW_TIMERS: u32 = 4096;

/// The window.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    due: BTreeSet<TimerRow>,
    of_run: BTreeMap<(RunId, TimerKind, StepKey), TimerRow>,
    /// The last timer that was read; those after it are in the store only. None: all are here.
    horizon: Option<TimerRow>,
}

impl Timers {
    pub(crate) fn load(store: &dyn Read) -> Result<Self, ReadError> {
        let mut timers = Self::default();
        timers.refill(None, store)?;
        Ok(timers)
    }

    fn refill(&mut self, after: Option<&TimerRow>, store: &dyn Read) -> Result<(), ReadError> {
        let rows = store.timers(after, WINDOW_TIMERS)?;
        self.horizon =
            if rows.len() < WINDOW_TIMERS as usize { None } else { rows.last().cloned() };
        for row in rows {
            self.insert(row);
        }
        Ok(())
    }

    fn insert(&mut self, row: TimerRow) {
        if let Some(old) = self.of_run.insert((row.run, row.kind, row.key.clone()), row.clone()) {
            self.due.remove(&old);
        }
        self.due.insert(row);
    }

    /// A timer was set; one with the same run, kind and key is replaced.
    pub(crate) fn put(&mut self, row: TimerRow) {
        self.delete(row.run, row.kind, &row.key);
        if self.horizon.as_ref().is_none_or(|horizon| row <= *horizon) {
            self.insert(row);
        }
    }

    /// A timer was removed.
    pub(crate) fn delete(&mut self, run: RunId, kind: TimerKind, key: &StepKey) {
        if let Some(row) = self.of_run.remove(&(run, kind, key.clone())) {
            self.due.remove(&row);
        }
    }

    /// All timers of a run were removed.
    pub(crate) fn delete_run(&mut self, run: RunId) {
        let from = (run, TimerKind::Open, StepKey::run());
        let keys: Vec<_> = self
            .of_run
            .range(from..)
            .take_while(|((of, ..), _)| *of == run)
            .map(|(k, _)| k.clone())
            .collect();
        for (run, kind, key) in keys {
            self.delete(run, kind, &key);
        }
    }

    /// The next timer that is due at `now`, taken out.
    pub(crate) fn pop_due(&mut self, now: Millis) -> Option<TimerRow> {
        if self.due.first()?.at > now {
            return None;
        }
        let row = self.due.pop_first()?;
        self.of_run.remove(&(row.run, row.kind, row.key.clone()));
        Some(row)
    }

    /// Reads on in the store if the window has run dry. Only between batches.
    pub(crate) fn top_up(&mut self, store: &dyn Read) -> Result<(), ReadError> {
        if !self.due.is_empty() {
            return Ok(());
        }
        match self.horizon.take() {
            Some(horizon) => self.refill(Some(&horizon), store),
            None => Ok(()),
        }
    }

    /// When the next one is due.
    pub(crate) fn next_at(&self) -> Option<Millis> {
        self.due.first().map(|row| row.at)
    }
}
