//! `busy`: a step will take longer than its definition's limit.

use super::Hold;
use crate::engine::Engine;
use polos_protocol::WorkerId;
use polos_protocol::frame::BusyRequest;

/// The longest that a run may ask to be left alone: a day.
const BUSY_MS_MAX: u64 = 24 * 3600 * 1000;

impl Engine {
    pub(super) fn busy(&mut self, worker: WorkerId, request: &BusyRequest) {
        let hold = Hold { worker, run: request.run, assignment: request.assignment };
        if !self.check_hold(hold) {
            return;
        }
        let at = self.now + request.for_ms.min(BUSY_MS_MAX) + self.config.wedged_margin_ms;
        if let Some(held) = self.runs.get_mut(&hold.run).and_then(|live| live.held.as_mut()) {
            held.watch_at = held.watch_at.max(at);
            self.watch.insert((held.watch_at, hold.run));
        }
    }
}
