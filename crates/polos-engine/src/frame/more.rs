//! `more`: the next page of a journal.

use super::Hold;
use crate::engine::Engine;
use crate::live::Phase;
use polos_protocol::WorkerId;
use polos_protocol::frame::MoreRequest;

impl Engine {
    pub(super) fn more(&mut self, worker: WorkerId, request: &MoreRequest) {
        let hold = Hold { worker, run: request.run, assignment: request.assignment };
        if !self.check_hold(hold) {
            return;
        }
        let Some(live) = self.runs.get_mut(&hold.run) else { return };
        let seq = request.seq.min(live.journal.seq);
        if let Some(held) = live.held.as_mut() {
            held.sent_seq = Some(seq);
            if held.phase == Phase::Resuming {
                // It comes when the run has its slot.
                return;
            }
        }
        self.page_due(hold.run, hold.assignment);
    }
}
