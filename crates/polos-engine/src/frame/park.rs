//! `park`: a waiting run leaves its worker's memory. One transaction: the tree is written only if it
//! is not already true.

use super::Hold;
use crate::engine::{Engine, Parting};
use crate::error::Error;
use crate::journal::OpenWait;
use polos_protocol::frame::{FromServer, ParkRequest, RunRef};
use polos_protocol::{RunId, State, StepKey, Wait, WorkerId};
use polos_store::row::{TimerKind, TimerRow};
use polos_store::{Change, Read};
use std::fmt::Write;

impl Engine {
    pub(super) fn park_request(
        &mut self,
        worker: WorkerId,
        request: ParkRequest,
        store: &dyn Read,
    ) -> Result<(), Error> {
        let hold = Hold { worker, run: request.run, assignment: request.assignment };
        if !self.check_hold(hold) || !self.is_settled(hold, (request.seq, request.n), &request.wait)
        {
            return Ok(());
        }
        self.take_back(hold.run);
        self.part(hold.run, Parting::Clean);
        if let Some(live) = self.runs.get_mut(&hold.run) {
            live.run.status.deaths = 0;
            live.run.status.alone = false;
        }
        self.park(hold.run, request.wait);
        let done = RunRef { run: hold.run, assignment: hold.assignment };
        self.send(worker, FromServer::Done(done));
        self.block_if_deadlocked(hold.run, store).map(|_| ())
    }

    /// A run that no worker has waits on.
    pub(crate) fn park(&mut self, id: RunId, wait: Wait) {
        let now = self.now;
        let why = self.describe_wait(id, &wait);
        let Some(live) = self.runs.get_mut(&id) else { return };
        let namespace = live.run.row.namespace.clone();
        let until = wait.until_min();
        let status = &mut live.run.status;
        status.state = State::Waiting;
        status.since_ms = now;
        status.why = Some(why);
        status.wait = Some(wait);
        if let Some(at) = until {
            self.put_timer(TimerRow {
                at,
                namespace,
                run: id,
                kind: TimerKind::Until,
                key: StepKey::run(),
            });
        }
        self.mark_dirty(id);
    }

    /// Sets a timer.
    pub(crate) fn put_timer(&mut self, row: TimerRow) {
        self.timers.put(row.clone());
        if !self.config.is_mutated("timers_in_memory_only") {
            self.change(Change::PutTimer(row));
        }
    }

    /// Removes a timer.
    pub(crate) fn delete_timer(&mut self, id: RunId, kind: TimerKind, key: &StepKey) {
        self.timers.delete(id, kind, key);
        self.change(Change::DeleteTimer(id, kind, key.clone()));
    }

    /// What a tree waits for, in words.
    fn describe_wait(&self, id: RunId, wait: &Wait) -> String {
        let mut parts = Vec::new();
        wait.leaves(&mut |leaf| match leaf {
            Wait::Key(key) => {
                if let Some(open) = self.opened(id, key) {
                    parts.push(describe_open(key, open));
                }
            }
            Wait::Until(_) => parts.push("the next attempt of a step that failed".to_owned()),
            Wait::Any(_) | Wait::All(_) | Wait::First(_) => {}
        });
        let more = parts.len().saturating_sub(3);
        parts.truncate(3);
        let mut text = format!("waits for {}", parts.join(", or "));
        if matches!(wait, Wait::All(_)) {
            text = format!("waits for {}", parts.join(" and "));
        }
        if more > 0 {
            let _ = write!(text, ", and {more} more");
        }
        text
    }
}

fn describe_open(key: &StepKey, open: &OpenWait) -> String {
    match open {
        OpenWait::Timer { .. } => format!("the timer `{key}`"),
        OpenWait::Event { topic, signal: false, .. } => format!("an event on `{topic}`"),
        OpenWait::Event { topic, signal: true, .. } => format!("the signal `{topic}`"),
        OpenWait::Child { run, workflow, .. } => format!("its child {run} (`{workflow}`)"),
        OpenWait::Approval { id, title, .. } => format!("a person: {title} ({id})"),
    }
}
