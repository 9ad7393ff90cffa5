//! Why a run stands where it stands, in one sentence.

use super::Caller;
use crate::engine::{Engine, ready_of};
use crate::error::Error;
use crate::journal::OpenWait;
use crate::live::Phase;
use crate::schedule::LaneKey;
use crate::worker::Worker;
use polos_protocol::{RunId, State};
use polos_store::Read;
use polos_store::row::Run;

impl Engine {
    pub(super) fn explain(
        &mut self,
        caller: Caller<'_>,
        id: RunId,
        store: &dyn Read,
    ) -> Result<String, Error> {
        if !self.bring(caller.namespace, id, store)? {
            return Err(Error::not_found("run", id));
        }
        let status = &self.runs[&id].run.status;
        Ok(match status.state {
            State::Queued => self.explain_queued(id),
            State::Running => self.explain_running(id),
            State::Waiting => {
                let why = status.why.clone().unwrap_or_else(|| "waits".to_owned());
                let blocked = self.blocked_child(caller, id, store)?;
                blocked.map_or(why.clone(), |cause| format!("{why}; {cause}"))
            }
            State::Blocked => status.blocked.as_ref().map_or_else(
                || "blocked".to_owned(),
                |blocked| format!("{}; {}", blocked.message, blocked.hint),
            ),
            State::Completed => "completed".to_owned(),
            State::Failed | State::Cancelled => status
                .error
                .as_ref()
                .map_or_else(|| status.state.name().to_owned(), |error| error.message.clone()),
        })
    }

    fn explain_queued(&self, id: RunId) -> String {
        let run = &self.runs[&id].run;
        let row = &run.row;
        let name = &row.queue;
        let Some(queue) = self.schedule.find(&row.namespace, name) else {
            return format!("queued in `{name}`");
        };
        if queue.config().paused {
            return format!("waits: queue `{name}` is paused; `polos queues resume {name}`");
        }
        let (_, place) = LaneKey::of(&ready_of(run), false);
        let ahead = queue.ahead_of(place);
        let key = row.options.concurrency_key.as_deref();
        if !queue.holds(id) && !queue.has_room(key) {
            let of_key = key.map(|key| format!(" of key `{key}`")).unwrap_or_default();
            return format!(
                "waits for a slot{of_key} in queue `{name}`; {ahead} ahead of it, {} running",
                queue.held()
            );
        }
        if let Some(missing) = self.missing_worker(run) {
            return missing;
        }
        if run.status.alone {
            return "waits for a worker with nothing else to do: workers died with it before"
                .to_owned();
        }
        format!(
            "waits for a free slot on a worker that has `{}`; {ahead} ahead of it",
            row.workflow
        )
    }

    /// What is missing, where no connected worker may take the run.
    fn missing_worker(&self, run: &Run) -> Option<String> {
        let (id, workflow) = (run.row.id, &run.row.workflow);
        let having: Vec<_> = self
            .workers
            .values()
            .filter(|w| {
                w.namespace == run.row.namespace
                    && w.connection.is_some()
                    && w.definitions.contains_key(workflow)
            })
            .collect();
        if having.is_empty() {
            return Some(format!("waits for a worker that has `{workflow}`: none is connected"));
        }
        let build = ready_of(run).build;
        let fits = |worker: &&&Worker| build.as_ref().is_none_or(|b| worker.fits_build(b));
        let fitting: Vec<_> = having.iter().filter(fits).collect();
        match build {
            Some((build, _, true)) if fitting.is_empty() => {
                Some(format!("waits for a worker of build `{build}`, to which it is kept"))
            }
            Some((build, _, false)) if fitting.is_empty() => Some(format!(
                "waits for a worker of build `{build}` or a newer one; `polos runs resume {id} \
                 --any-build` lets an older one take it"
            )),
            _ if fitting.iter().all(|worker| worker.draining) => {
                Some(format!("waits for a worker that has `{workflow}`: those there drain"))
            }
            _ => None,
        }
    }

    fn explain_running(&self, id: RunId) -> String {
        let live = &self.runs[&id];
        let Some(held) = &live.held else { return "running".to_owned() };
        let worker = self.workers.get(&held.worker);
        let name = worker.map_or_else(|| held.worker.to_string(), |worker| worker.name.clone());
        if worker.is_none_or(|worker| worker.connection.is_none()) {
            return format!(
                "its worker `{name}` is gone; it goes to another if that does not come back"
            );
        }
        match &held.phase {
            Phase::Given { .. } => format!("was given to worker `{name}`"),
            Phase::Active => format!("runs on worker `{name}`"),
            Phase::Hot { .. } => format!("waits in the memory of worker `{name}`"),
            Phase::Resuming => "what it waited for has come; it waits for a slot".to_owned(),
        }
    }

    /// The parent of a blocked child stays waiting: it names the child and the cause.
    fn blocked_child(
        &mut self,
        caller: Caller<'_>,
        id: RunId,
        store: &dyn Read,
    ) -> Result<Option<String>, Error> {
        let children: Vec<RunId> = self.runs[&id]
            .journal
            .opens
            .values()
            .filter_map(
                |open| if let OpenWait::Child { run, .. } = open { Some(*run) } else { None },
            )
            .take(100)
            .collect();
        for child in children {
            if self.bring(caller.namespace, child, store)?
                && let Some(blocked) = &self.runs[&child].run.status.blocked
            {
                return Ok(Some(format!(
                    "child {child} is blocked: {}; {}",
                    blocked.message, blocked.hint
                )));
            }
        }
        Ok(None)
    }
}
