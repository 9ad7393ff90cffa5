//! The model store: sorted maps, the same trait, nothing clever. It is deterministic, a snapshot
//! costs a few pointers, and a plan decides before each commit whether it succeeds, fails, or
//! succeeds without anyone being told.

mod apply;
mod journal;
mod list;
mod read;
mod run;
mod tables;

use polos_store::{Batch, CommitError, Outcome, Store};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tables::Tables;

/// What happens to a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// Nothing: it succeeds.
    None,
    /// It fails with this error, and nothing is written.
    Refuse(CommitError),
    /// It is written, and its caller is told that nobody knows.
    Lose,
}

/// Decides what happens to a commit.
pub type Plan = Box<dyn FnMut(&Batch) -> Fault + Send>;

/// The model store. Its clones are the same store.
#[derive(Clone, Default)]
pub struct Memory {
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    tables: Tables,
    incarnation: u64,
    plan: Option<Plan>,
}

/// What was committed at some time.
#[derive(Debug, Clone)]
pub struct Snapshot(Tables);

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memory").field("incarnation", &self.incarnation()).finish_non_exhaustive()
    }
}

impl Memory {
    /// An empty store in its first life.
    pub fn new() -> Self {
        let memory = Self::default();
        memory.reopen();
        memory
    }

    /// Begins the next life of the store, as a server's start does: owners of earlier ones are
    /// fenced off. Gives the new incarnation.
    pub fn reopen(&self) -> u64 {
        let mut state = self.state();
        state.incarnation += 1;
        state.incarnation
    }

    /// What is committed now.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot(self.state().tables.clone())
    }

    /// Goes back to a snapshot, as a restored backup does, and begins the next life.
    pub fn restore(&self, snapshot: &Snapshot) -> u64 {
        self.state().tables = snapshot.0.clone();
        self.reopen()
    }

    /// Asks `plan` before each commit from now on.
    pub fn set_plan(&self, plan: impl FnMut(&Batch) -> Fault + Send + 'static) {
        self.state().plan = Some(Box::new(plan));
    }

    /// Lets all commits succeed from now on.
    pub fn clear_plan(&self) {
        self.state().plan = None;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store for Memory {
    fn commit(&self, batch: Batch) -> Result<Vec<Outcome>, CommitError> {
        let mut state = self.state();
        let fault = state.plan.as_mut().map_or(Fault::None, |plan| plan(&batch));
        if let Fault::Refuse(error) = fault {
            return Err(error);
        }
        if batch.owner != state.incarnation {
            return Err(CommitError::Fenced(format!(
                "the batch is of incarnation {}, the store is at {}",
                batch.owner, state.incarnation
            )));
        }
        // A copy shares all rows; what a contradiction leaves half done is dropped with it.
        let mut tables = state.tables.clone();
        let outcomes = apply::apply(&mut tables, &batch).map_err(CommitError::Fatal)?;
        state.tables = tables;
        match fault {
            Fault::Lose => Err(CommitError::Unknown("the answer was lost on order".to_owned())),
            _ => Ok(outcomes),
        }
    }

    fn incarnation(&self) -> u64 {
        self.state().incarnation
    }
}
