//! `complete`: a run has ended with an output.

use super::Hold;
use crate::engine::Engine;
use crate::error::Error;
use crate::finish::End;
use polos_protocol::WorkerId;
use polos_protocol::frame::{CompleteRequest, FromServer, RunRef};
use polos_store::Read;

impl Engine {
    pub(super) fn complete(
        &mut self,
        worker: WorkerId,
        request: CompleteRequest,
        store: &dyn Read,
    ) -> Result<(), Error> {
        let hold = Hold { worker, run: request.run, assignment: request.assignment };
        if !self.check_hold(hold) || !self.has_all(hold, request.n) {
            return Ok(());
        }
        if let Some(bad) = self.bad_reference(hold.run, Some(&request.value), store)? {
            self.revoke_invalid(hold, &bad);
            return Ok(());
        }
        self.finish(hold.run, End::Completed(request.value), store)?;
        self.send(worker, FromServer::Done(RunRef { run: hold.run, assignment: hold.assignment }));
        Ok(())
    }

    /// True if all records up to `n` have come; a worker that skips some is at fault.
    pub(super) fn has_all(&mut self, hold: Hold, n: u64) -> bool {
        let have = self.runs.get(&hold.run).map_or(0, |live| live.journal.n);
        if have < n {
            self.revoke_invalid(hold, "it speaks of records that it never sent");
        }
        have >= n
    }
}
