//! Retention: whole trees of runs that ended long ago, and what else is as old.

use super::Caller;
use crate::engine::Engine;
use crate::error::Error;
use polos_protocol::Millis;
use polos_store::{Change, Read};

/// How many trees one request deletes: the caller asks again.
const TREES_PER_REQUEST: u32 = 500;
/// After so many runs no further tree is begun: a transaction stays short where trees are large.
const RUNS_PER_REQUEST: u64 = 1_000;
/// How much longer start keys live than their runs.
const START_KEY_MS: u64 = 7 * 24 * 3600 * 1000;

impl Engine {
    pub(super) fn retain(
        &mut self,
        caller: Caller<'_>,
        before: Millis,
        store: &dyn Read,
    ) -> Result<u64, Error> {
        let mut deleted = 0;
        for tree in store.ended_roots(caller.namespace, before, TREES_PER_REQUEST)? {
            if tree
                .iter()
                .any(|run| self.runs.get(run).is_some_and(|live| !live.run.status.state.is_ended()))
            {
                continue;
            }
            if deleted >= RUNS_PER_REQUEST {
                break;
            }
            for run in tree {
                self.runs.remove(&run);
                self.overlay.delete_run(run);
                self.change(Change::DeleteRun(run));
                deleted += 1;
            }
        }
        self.change(Change::DeleteEventsBefore(before));
        self.change(Change::DeleteStartKeysBefore(before.saturating_sub(START_KEY_MS)));
        Ok(deleted)
    }
}
