//! How assignments end: what the next worker must know of those before it.

use super::Engine;
use polos_protocol::frame::{Lost, Previous};
use polos_protocol::{Millis, RunId};

/// How many assignments that may still be acting are told apart; older ones are taken together.
const LOST_MAX: usize = 16;
/// An effect that began so long ago has ended: no step may take longer.
const LOST_MS_MAX: u64 = 2 * 24 * 3600 * 1000;

/// How an assignment ended.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Parting {
    /// Nothing of it can act any more: its process is gone, or it gave the run back itself.
    Clean,
    /// Something of it may act until its lease, which surely ends by this time, and a step's time
    /// limit are over.
    Lost { lease_end_ms: Millis },
}

impl Engine {
    /// Its worker may still be acting for a full lease from now: it was told to drop the run, and
    /// nobody knows whether it heard.
    pub(crate) fn parting_unheard(&self) -> Parting {
        Parting::Lost { lease_end_ms: self.now + self.config.lease_ms }
    }

    /// Notes how the present assignment of a run in memory ended.
    pub(crate) fn part(&mut self, id: RunId, parting: Parting) {
        let now = self.now;
        let forgets = self.config.is_mutated("only_last_assignment");
        let Some(live) = self.runs.get_mut(&id) else { return };
        let status = &mut live.run.status;
        status.lost.retain(|lost| lost.lease_end_ms.saturating_add(LOST_MS_MAX) > now && !forgets);
        if let Parting::Lost { lease_end_ms } = parting {
            status.lost.push(Lost { assignment: status.assignment, lease_end_ms });
        }
        if status.lost.len() > LOST_MAX {
            // The two oldest become one that covers both.
            let oldest = status.lost.remove(0);
            let next = &mut status.lost[0];
            next.lease_end_ms = next.lease_end_ms.max(oldest.lease_end_ms);
        }
        let latest = status.lost.iter().map(|lost| lost.lease_end_ms).max();
        status.previous =
            Some(Previous { dead: latest.is_none(), lease_end_ms: latest.unwrap_or(now) });
        self.mark_dirty(id);
    }
}
