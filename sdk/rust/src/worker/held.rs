//! The runs in memory, how far each knows its journal, and which of them wait: what hello says.
//! The runs' tasks write it, the connection's thread reads it.

use polos_protocol::frame::{Held as HeldRun, Kept, RunRef};
use polos_protocol::{RunId, Wait};
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The runs of a worker.
#[derive(Debug, Default)]
pub(crate) struct Held(Mutex<HashMap<RunId, (u64, Arc<Standing>)>>);

/// Where one run stands, as its task last left it.
#[derive(Debug, Default)]
pub(crate) struct Standing {
    seq: AtomicU64,
    /// How many `append` frames the connection has read for it.
    read: AtomicU64,
    /// What it waits for, and how many of those frames it had taken in then. If more were read
    /// since, it may have gone on.
    wait: Mutex<Option<(u64, Wait)>>,
    /// The connection has read that the run is this worker's no more. Its task may not have got so
    /// far: code that hung must begin nothing when it goes on.
    gone: AtomicBool,
}

impl Held {
    fn runs(&self) -> MutexGuard<'_, HashMap<RunId, (u64, Arc<Standing>)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A run was given.
    pub(crate) fn insert(&self, of: RunRef) -> Arc<Standing> {
        let standing = Arc::new(Standing::default());
        self.runs().insert(of.run, (of.assignment, standing.clone()));
        standing
    }

    /// A run has left.
    pub(crate) fn remove(&self, run: RunId) {
        self.runs().remove(&run);
    }

    /// The connection has read an `append` frame: its run may go on from now on.
    pub(crate) fn appended(&self, run: RunId, assignment: u64) {
        if let Some((_, standing)) = self.runs().get(&run).filter(|(own, _)| *own == assignment) {
            standing.read.fetch_add(1, Ordering::AcqRel);
        }
    }

    /// The connection has read that a run is the worker's no more.
    pub(crate) fn gone(&self, of: RunRef) {
        if let Some((_, standing)) =
            self.runs().get(&of.run).filter(|(own, _)| *own == of.assignment)
        {
            standing.gone.store(true, Ordering::Release);
        }
    }

    /// A server has welcomed the worker: the runs that it does not name are the worker's no more.
    pub(crate) fn kept(&self, kept: &[Kept]) {
        let kept: HashMap<RunId, u64> = kept.iter().map(|k| (k.run, k.assignment)).collect();
        for (run, (assignment, standing)) in self.runs().iter() {
            if kept.get(run) != Some(assignment) {
                standing.gone.store(true, Ordering::Release);
            }
        }
    }

    pub(crate) fn list(&self) -> Vec<HeldRun> {
        let held = |(run, (assignment, standing)): (&RunId, &(u64, Arc<Standing>))| HeldRun {
            run: *run,
            assignment: *assignment,
            seq: standing.seq.load(Ordering::Acquire),
            wait: standing.waits_for(),
        };
        self.runs().iter().map(held).collect()
    }
}

impl Standing {
    fn wait(&self) -> MutexGuard<'_, Option<(u64, Wait)>> {
        self.wait.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The task has let its code run as far as it goes.
    pub(crate) fn leave(&self, seq: u64) {
        self.seq.store(seq, Ordering::Release);
    }

    /// What the code waits for, if nothing of it runs, with so many `append` frames taken in.
    pub(crate) fn leave_waiting(&self, taken: u64, wait: Option<Wait>) {
        *self.wait() = wait.map(|wait| (taken, wait));
    }

    /// True if the run is this worker's no more.
    pub(crate) fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Acquire)
    }

    fn waits_for(&self) -> Option<Wait> {
        let wait = self.wait();
        let (taken, wait) = wait.as_ref()?;
        (self.read.load(Ordering::Acquire) == *taken).then(|| wait.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use polos_protocol::StepKey;

    #[test]
    fn a_run_that_may_have_been_woken_does_not_count_as_waiting() {
        let held = Held::default();
        let of = RunRef { run: RunId::from_bytes([1; 16]), assignment: 3 };
        let standing = held.insert(of);
        let wait = Wait::Key(StepKey::run().child("t", 1));
        standing.leave(7);
        standing.leave_waiting(0, Some(wait.clone()));
        let said = |held: &Held| held.list()[0].clone();
        assert_eq!((said(&held).seq, said(&held).wait), (7, Some(wait.clone())));
        held.appended(of.run, 2);
        assert_eq!(said(&held).wait, Some(wait.clone()), "a frame of another assignment");
        held.appended(of.run, 3);
        assert_eq!(said(&held).wait, None, "its code has not had the frame yet");
        standing.leave_waiting(1, Some(wait.clone()));
        assert_eq!(said(&held).wait, Some(wait));
        standing.leave_waiting(1, None);
        assert_eq!(said(&held).wait, None);
    }

    #[test]
    fn what_the_connection_has_read_of_a_lost_run_is_known_before_its_task_hears_it() {
        let held = Held::default();
        let [one, two] = [1, 2].map(|n| RunRef { run: RunId::from_bytes([n; 16]), assignment: 3 });
        let (first, second) = (held.insert(one), held.insert(two));
        held.kept(&[Kept { run: one.run, assignment: 3, seq: 1, n: 1 }]);
        assert_eq!((first.is_gone(), second.is_gone()), (false, true));
        held.gone(RunRef { assignment: 2, ..one });
        assert!(!first.is_gone(), "that was another assignment");
        held.gone(one);
        assert!(first.is_gone());
    }
}
