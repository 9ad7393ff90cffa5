//! Time: timers that are due, workers that are silent, runs that are wedged.

use crate::engine::Engine;
use crate::error::Error;
use crate::finish::{Cancel, End};
use crate::resolve::Outcome;
use polos_protocol::{Failure, State};
use polos_store::row::{TimerKind, TimerRow};
use polos_store::{Change, Read};

/// How many timers one tick fires: the rest fire with the next batch.
const TIMERS_PER_TICK: usize = 10_000;

impl Engine {
    pub(crate) fn tick(&mut self, store: &dyn Read) -> Result<(), Error> {
        self.watch_workers();
        self.watch_runs();
        for _ in 0..TIMERS_PER_TICK {
            let Some(timer) = self.timers.pop_due(self.now) else { break };
            let namespace = timer.namespace.clone();
            self.fire(timer, store)?;
            self.seal(&namespace);
        }
        Ok(())
    }

    fn fire(&mut self, timer: TimerRow, store: &dyn Read) -> Result<(), Error> {
        let TimerRow { run: id, kind, key, namespace, .. } = timer;
        self.change(Change::DeleteTimer(id, kind, key.clone()));
        if !self.bring(&namespace, id, store)? {
            return Ok(());
        }
        match kind {
            TimerKind::Open => self.resolve(id, &key, Outcome::timer(), store),
            TimerKind::Deadline => {
                let failure = Failure::new("timeout", "nothing came in time");
                self.resolve(id, &key, Outcome::failed("deadline", failure), store)
            }
            TimerKind::Until => {
                self.wake_if_true(id);
                Ok(())
            }
            TimerKind::RunDeadline => self.run_deadline(id, store),
            TimerKind::Cleanup => self.end_cleanup(id, store),
        }
    }

    /// The run's own time is over, unless some of it was spent waiting for a person.
    fn run_deadline(&mut self, id: polos_protocol::RunId, store: &dyn Read) -> Result<(), Error> {
        let now = self.now;
        let Some(live) = self.runs.get(&id) else { return Ok(()) };
        let (row, status) = (live.run.row.clone(), &live.run.status);
        let since =
            if status.state == State::Waiting { now.saturating_sub(status.since_ms) } else { 0 };
        let waits_for_person = status.why.as_ref().is_some_and(|why| why.contains("a person:"));
        let people_ms = status.people_ms + if waits_for_person { since } else { 0 };
        let by_timeout = row
            .options
            .timeout_ms
            .map(|ms| row.created_ms.saturating_add(ms).saturating_add(people_ms));
        let at = [row.options.deadline_ms, by_timeout].into_iter().flatten().min();
        if let Some(at) = at.filter(|at| *at > now) {
            // While it waits for a person its time stands still: look again, not too often.
            let at = if waits_for_person { at.max(now + 1000) } else { at };
            let key = polos_protocol::StepKey::run();
            let namespace = row.namespace.clone();
            self.put_timer(TimerRow { at, namespace, run: id, kind: TimerKind::RunDeadline, key });
            return Ok(());
        }
        let reason = Some("its time limit has passed".to_owned());
        self.cancel(
            id,
            &Cancel { by: "engine".to_owned(), reason, code: "deadline_exceeded" },
            store,
        )
    }

    /// The time for cleanup is over: the run ends without its code.
    fn end_cleanup(&mut self, id: polos_protocol::RunId, store: &dyn Read) -> Result<(), Error> {
        self.kill_held(id, "its time for cleanup after the cancellation is over");
        self.finish(id, End::Cancelled, store)
    }
}
