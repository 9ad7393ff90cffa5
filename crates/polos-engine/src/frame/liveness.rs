//! Workers that go: an ended connection has a grace, a silent one its lease, and a process that is
//! known to be dead has nothing.

use crate::engine::{Engine, Parting};
use crate::input::ConnectionId;
use crate::live::Phase;
use crate::output::Output;
use crate::worker::Worker;
use polos_protocol::failure::codes;
use polos_protocol::frame::{Empty, FromServer};
use polos_protocol::{Blocked, Millis, RunId, WorkerId};

/// So many deaths without progress put a run on trial, alone on its worker.
const DEATHS_BEFORE_TRIAL: u32 = 2;

impl Engine {
    /// A connection has ended: its worker may come back within the grace.
    pub(crate) fn disconnect(&mut self, connection: ConnectionId) {
        let Some(id) = self.connections.remove(&connection) else { return };
        let lost_at = self.now + self.config.grace_ms;
        if let Some(worker) = self.workers.get_mut(&id)
            && worker.connection == Some(connection)
        {
            worker.connection = None;
            worker.lost_at = Some(lost_at);
        }
    }

    /// A worker's process is gone: its runs go elsewhere at once.
    pub(crate) fn worker_dead(&mut self, id: WorkerId) {
        self.lose(id, true);
    }

    /// When a worker is to be looked at: pinged, given up, or let off its mute.
    pub(crate) fn worker_deadline(&self, worker: &Worker) -> Millis {
        match worker.lost_at {
            Some(at) => at,
            None => (worker.pinged_at.max(worker.heard_at) + self.config.ping_ms)
                .min(worker.heard_at + self.config.lease_ms)
                .min(if worker.muted_until > self.now { worker.muted_until } else { Millis::MAX }),
        }
    }

    /// Pings the quiet, gives up the silent and the lost.
    pub(crate) fn watch_workers(&mut self) {
        let now = self.now;
        let due: Vec<WorkerId> = self
            .workers
            .values()
            .filter(|worker| self.worker_deadline(worker) <= now)
            .map(|worker| worker.id)
            .collect();
        for id in due {
            let Some(worker) = self.workers.get_mut(&id) else { continue };
            if worker.lost_at.is_some_and(|at| at <= now) {
                self.lose(id, false);
            } else if worker.lost_at.is_none() && worker.heard_at + self.config.lease_ms <= now {
                if let Some(connection) = worker.connection.take() {
                    self.connections.remove(&connection);
                    self.output(Output::Close(connection));
                }
                self.lose(id, false);
            } else if worker.lost_at.is_none() {
                worker.pinged_at = now;
                self.send(id, FromServer::Ping(Empty {}));
            }
        }
        self.schedule.reopen_all();
    }

    /// A worker is gone for good: its runs go elsewhere.
    fn lose(&mut self, id: WorkerId, dead: bool) {
        let Some(worker) = self.workers.get(&id) else { return };
        let namespace = worker.namespace.clone();
        let dead = dead || self.config.is_mutated("dead_without_proof");
        let parting = if dead {
            Parting::Clean
        } else {
            Parting::Lost { lease_end_ms: (worker.heard_at + self.config.lease_ms).max(self.now) }
        };
        let runs = worker.runs.clone();
        if let Some(connection) = worker.connection {
            self.connections.remove(&connection);
            self.output(Output::Close(connection));
        }
        for run in runs {
            let poisoned = dead && self.count_death(run);
            if poisoned {
                self.block(run, poison(run), parting);
            } else {
                self.give_back(run, parting);
            }
        }
        self.workers.remove(&id);
        self.schedule.reopen_all();
        self.seal(&namespace);
    }

    /// Counts a worker's death against a run that was at work on it and had got nowhere. True if
    /// the run was alone on it, on trial.
    fn count_death(&mut self, run: RunId) -> bool {
        let Some(live) = self.runs.get_mut(&run) else { return false };
        let Some(held) = live.held.as_ref() else { return false };
        // One that was given and not yet accepted counts: what dies at once has no time to say so.
        let at_work = matches!(held.phase, Phase::Given { .. } | Phase::Active);
        if !at_work || held.progressed {
            return false;
        }
        let status = &mut live.run.status;
        status.deaths += 1;
        let was_alone = status.alone;
        status.alone = status.deaths >= DEATHS_BEFORE_TRIAL;
        self.mark_dirty(run);
        was_alone
    }

    /// Looks at runs whose worker should have done something by now.
    pub(crate) fn watch_runs(&mut self) {
        while let Some((at, run)) = self.watch.first().copied() {
            if at > self.now {
                return;
            }
            self.watch.pop_first();
            let Some(live) = self.runs.get(&run) else { continue };
            let Some(held) = live.held.as_ref() else { continue };
            if held.watch_at > self.now {
                self.watch.insert((held.watch_at, run));
                continue;
            }
            let (worker, phase) = (held.worker, held.phase.clone());
            let assignment = live.run.status.assignment;
            let namespace = live.run.row.namespace.clone();
            if self.workers.get(&worker).is_some_and(|worker| worker.connection.is_none()) {
                // The lease or the grace decides.
                let later = self.now + self.config.lease_ms;
                self.watch.insert((later, run));
                continue;
            }
            let hold = super::Hold { worker, run, assignment };
            match phase {
                Phase::Given { .. } => self.not_accepted(hold),
                Phase::Active => self.wedged(hold),
                Phase::Hot { .. } | Phase::Resuming => {}
            }
            self.seal(&namespace);
        }
    }

    /// The worker's loop does not answer: the run goes elsewhere, and so do new ones for a while.
    fn not_accepted(&mut self, hold: super::Hold) {
        let until = self.now + self.config.lease_ms;
        if let Some(worker) = self.workers.get_mut(&hold.worker) {
            worker.muted_until = until;
        }
        self.revoke(hold, "wedged", "the run was not accepted in time");
        self.give_back(hold.run, self.parting_unheard());
    }

    /// A step outlived its limit and its worker did not say so.
    fn wedged(&mut self, hold: super::Hold) {
        self.revoke(hold, "wedged", "a step outlived its time limit");
        let parting = self.parting_unheard();
        let Some(live) = self.runs.get_mut(&hold.run) else { return };
        live.run.status.deaths += 1;
        if live.run.status.deaths > DEATHS_BEFORE_TRIAL {
            self.block(hold.run, wedged_for_good(hold.run), parting);
        } else {
            self.give_back(hold.run, parting);
        }
    }
}

fn poison(run: RunId) -> Blocked {
    Blocked {
        code: codes::POISON.to_owned(),
        message:
            "three workers in a row died while they ran it, the last one with nothing else to do"
                .to_owned(),
        hint: format!("look at the workers' logs, mend the cause, then `polos runs resume {run}`"),
        step: None,
        difference: None,
        failure: None,
        since: 0,
    }
}

fn wedged_for_good(run: RunId) -> Blocked {
    Blocked {
        code: codes::WEDGED.to_owned(),
        message: "a step outlived its time limit three times, and its worker did not say so"
            .to_owned(),
        hint: format!(
            "look for code that blocks its thread, mend it, then `polos runs resume {run}`"
        ),
        step: None,
        difference: None,
        failure: None,
        since: 0,
    }
}
