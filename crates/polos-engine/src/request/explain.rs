//! Why a run stands where it stands, in one sentence.

use super::Caller;
use crate::engine::Engine;
use crate::error::Error;
use crate::journal::OpenWait;
use crate::live::Phase;
use polos_protocol::{RunId, State};
use polos_store::Read;
use polos_store::read::ReadyRun;

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
            State::Queued => self.explain_one_queued(id),
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

    /// One that stands in no lane is about to be put into one.
    fn explain_one_queued(&self, id: RunId) -> String {
        let run = &self.runs[&id].run;
        let ready = ReadyRun::of(run);
        let why = self.explain_queued(&run.row.namespace, &[ready]).remove(&id);
        why.unwrap_or_else(|| format!("queued in `{}`", run.row.queue))
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
