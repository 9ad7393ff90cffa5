//! Whether what the engine holds in memory agrees with itself and with the store. The simulation
//! asks after every commit; a real server never does.

use super::Engine;
use crate::live::Live;
use polos_protocol::{Namespace, RunId};
use polos_store::{Read, ReadError};
use std::collections::BTreeSet;

type Runs = BTreeSet<(Namespace, String, RunId)>;

impl Engine {
    /// Compares slots, workers and lanes with the rows that they follow from. Only between a
    /// commit and the next input.
    ///
    /// # Errors
    /// The store could not be read.
    pub fn audit(&self, store: &dyn Read) -> Result<Result<(), String>, ReadError> {
        Ok(self
            .audit_workers()
            .and(self.audit_running(store)?)
            .and(self.audit_slots(store)?)
            .and(self.audit_lanes(store)?))
    }

    fn audit_workers(&self) -> Result<(), String> {
        for worker in self.workers.values() {
            let held = |run: &&RunId| {
                let held = self.runs.get(run).and_then(|live| live.held.as_ref());
                held.is_some_and(|held| held.worker == worker.id)
            };
            if let Some(run) = worker.runs.iter().find(|run| !held(run)) {
                return Err(format!("{} counts {run} as its own and does not have it", worker.id));
            }
            let in_slot = |run: &&RunId| {
                let held = self.runs.get(run).and_then(|live| live.held.as_ref());
                held.is_some_and(|held| held.in_slot)
            };
            let active = worker.runs.iter().filter(in_slot).count();
            if active != worker.active as usize {
                let counted = worker.active;
                return Err(format!("{} has {active} runs in slots, not {counted}", worker.id));
            }
        }
        Ok(())
    }

    /// Runs that the store says are running are in some worker's hands, and no others.
    fn audit_running(&self, store: &dyn Read) -> Result<Result<(), String>, ReadError> {
        let stored: BTreeSet<RunId> =
            store.running_runs()?.into_iter().map(|(_, run)| run).collect();
        let held = self.runs.values().filter(|live| live.held.is_some());
        let held: BTreeSet<RunId> = held.map(Live::id).collect();
        Ok(same("runs in workers' hands", &stored, &held))
    }

    /// A slot for each run that works or keeps one, and for no other.
    fn audit_slots(&self, store: &dyn Read) -> Result<Result<(), String>, ReadError> {
        let kept = store.kept_slots()?.into_iter();
        let mut due: Runs = kept.map(|kept| (kept.namespace, kept.queue, kept.run)).collect();
        for live in self.runs.values() {
            if live.held.as_ref().is_some_and(|held| held.in_slot) {
                let row = &live.run.row;
                due.insert((row.namespace.clone(), row.queue.clone(), row.id));
            }
        }
        let mut taken = Runs::new();
        for ((namespace, name), queue) in self.schedule.all() {
            if !queue.adds_up() {
                return Ok(Err(format!("the slots of queue `{name}` do not add up")));
            }
            taken.extend(queue.members().map(|run| (namespace.clone(), name.clone(), run)));
        }
        Ok(same("slots", &due, &taken))
    }

    /// Every run that is ready stands in its lane.
    fn audit_lanes(&self, store: &dyn Read) -> Result<Result<(), String>, ReadError> {
        let ready = store.ready_runs()?.into_iter();
        let stored: Runs = ready.map(|ready| (ready.namespace, ready.queue, ready.run)).collect();
        let mut listed = Runs::new();
        for ((namespace, name), queue) in self.schedule.all() {
            listed.extend(queue.ready().map(|run| (namespace.clone(), name.clone(), run)));
        }
        Ok(same("ready runs", &stored, &listed))
    }
}

fn same<T: Ord + std::fmt::Debug>(
    what: &str,
    rows: &BTreeSet<T>,
    memory: &BTreeSet<T>,
) -> Result<(), String> {
    let forgotten: Vec<&T> = rows.difference(memory).collect();
    let leaked: Vec<&T> = memory.difference(rows).collect();
    if forgotten.is_empty() && leaked.is_empty() {
        return Ok(());
    }
    Err(format!("{what}: forgotten {forgotten:?}, leaked {leaked:?}"))
}
