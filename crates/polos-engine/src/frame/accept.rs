//! `accept`: the worker's own loop has taken the run.

use super::Hold;
use crate::engine::Engine;
use crate::live::Phase;

impl Engine {
    pub(super) fn accept(&mut self, hold: Hold) {
        if !self.check_hold(hold) {
            return;
        }
        if let Some(held) = self.runs.get_mut(&hold.run).and_then(|live| live.held.as_mut())
            && matches!(held.phase, Phase::Given { .. })
        {
            held.phase = Phase::Active;
            self.keep_watch(hold.run);
        }
    }
}
