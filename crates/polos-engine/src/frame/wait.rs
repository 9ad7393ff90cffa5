//! `wait`: a run has nothing to do but wait. It stays in its worker's memory and gives its slots
//! back at once.

use super::Hold;
use crate::engine::Engine;
use crate::error::Error;
use crate::live::Phase;
use polos_protocol::frame::WaitRequest;
use polos_protocol::{Wait, WorkerId};
use polos_store::Read;

impl Engine {
    pub(super) fn wait(
        &mut self,
        worker: WorkerId,
        request: WaitRequest,
        store: &dyn Read,
    ) -> Result<(), Error> {
        let hold = Hold { worker, run: request.run, assignment: request.assignment };
        if !self.check_hold(hold) || !self.is_settled(hold, (request.seq, request.n), &request.wait)
        {
            return Ok(());
        }
        if request.wait.until_min().is_some() {
            // A backoff ends in the worker's memory, by its own clock: it keeps its slots, so that
            // none is taken that is not free. A long one parks.
            return Ok(());
        }
        if let Some(held) = self.runs.get_mut(&hold.run).and_then(|live| live.held.as_mut()) {
            held.phase = Phase::Hot { wait: request.wait };
            self.leave_slot(hold.run);
        }
        self.block_if_deadlocked(hold.run, store).map(|_| ())
    }

    /// True if the worker knows all that the journal holds, and what it waits for has not come.
    /// Otherwise what it lacks is on its way, and it will ask again.
    pub(super) fn is_settled(&mut self, hold: Hold, (seq, n): (u64, u64), wait: &Wait) -> bool {
        if !wait.is_within_limits() {
            self.revoke_invalid(hold, "the wait tree is too deep or has too many leaves");
            return false;
        }
        let now = self.now;
        let Some(live) = self.runs.get(&hold.run) else { return false };
        let knows_all = live.journal.seq == seq && live.journal.n == n;
        let resuming = live.held.as_ref().is_some_and(|held| held.phase == Phase::Resuming);
        if !knows_all || resuming || live.is_true(wait, now) {
            return false;
        }
        if !live.can_end(wait) {
            self.revoke_invalid(hold, "it waits for what was never opened");
            return false;
        }
        true
    }
}
