//! `more`: a worker says how far it has a journal of which no page is on its way. It lacks something,
//! or its answer to a page comes late.

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
        let Some(held) = live.held.as_mut().filter(|held| held.paging.is_none()) else { return };
        if held.sent_seq.is_some_and(|sent| request.seq > sent) {
            let message = "`more` speaks of records that the worker was not sent";
            self.end_connection(worker, "page_out_of_order", message);
            return;
        }
        held.sent_seq = Some(request.seq);
        // What came for a run that waits for its slot comes when it has it.
        if held.phase != Phase::Resuming {
            self.page_due(hold.run, hold.assignment);
        }
    }
}
