//! What queued runs wait for: at which place of which queue, and what would let them go on.

use crate::engine::Engine;
use crate::schedule::{LaneKey, Queue};
use crate::worker::Worker;
use polos_protocol::{Namespace, RunId};
use polos_store::read::ReadyRun;
use std::collections::BTreeMap;
use std::sync::Arc;

impl Engine {
    /// One sentence for each of these runs that stands in a queue. Those that have left theirs
    /// meanwhile are left out.
    pub(super) fn explain_queued(
        &self,
        namespace: &Namespace,
        runs: &[ReadyRun],
    ) -> BTreeMap<RunId, String> {
        let mut by_queue: BTreeMap<&str, Vec<&ReadyRun>> = BTreeMap::new();
        for run in runs.iter().filter(|run| run.namespace == *namespace) {
            by_queue.entry(&run.queue).or_default().push(run);
        }
        let explain = |(name, runs): (&str, Vec<&ReadyRun>)| {
            let queue = self.schedule.find(namespace, name);
            queue.map(|queue| self.explain_in(namespace, queue, &runs)).unwrap_or_default()
        };
        by_queue.into_iter().flat_map(explain).collect()
    }

    /// What runs of one queue wait for: their places take one walk, their needs one look a lane.
    fn explain_in(
        &self,
        namespace: &Namespace,
        queue: &Queue,
        runs: &[&ReadyRun],
    ) -> Vec<(RunId, String)> {
        let lanes = |run: &&ReadyRun| [false, true].map(|has_slot| LaneKey::of(run, has_slot));
        let standing: Vec<_> = runs
            .iter()
            .flat_map(lanes)
            .filter(|(lane, place)| queue.stands(lane, *place))
            .collect();
        let numbers = queue.number(&standing.iter().map(|(_, place)| *place).collect());
        let mut needs: BTreeMap<LaneKey, Need> = BTreeMap::new();
        let mut explained = Vec::with_capacity(standing.len());
        for (lane, place) in standing {
            let ahead = numbers.ahead.get(&place).copied().unwrap_or(0);
            let at = match (ahead, numbers.are_exact) {
                (0, true) => "first".to_owned(),
                (ahead, true) => format!("{ahead} ahead of it"),
                (ahead, false) => format!("at least {ahead} ahead of it"),
            };
            let need = needs
                .entry(lane)
                .or_insert_with_key(|lane| self.need_of(namespace, queue, lane))
                .of(place.run);
            let name = &queue.config().name;
            explained.push((place.run, format!("{need}; {at} in queue `{name}`")));
        }
        explained
    }

    /// What would let the runs of a lane go on.
    fn need_of(&self, namespace: &Namespace, queue: &Queue, lane: &LaneKey) -> Need {
        let config = queue.config();
        let key = lane.concurrency_key.as_deref();
        if config.paused {
            let name = &config.name;
            return Need::Said(format!(
                "waits: queue `{name}` is paused; `polos queues resume {name}`"
            ));
        }
        if !lane.has_slot && !queue.has_room_for_key(key) {
            let (key, taken) = (key.unwrap_or_default(), queue.held_by(key));
            return Need::Said(format!("waits for a slot of key `{key}`: {}", all_taken(taken)));
        }
        if !lane.has_slot && !queue.has_room(key) {
            let taken = all_taken(queue.held());
            return Need::Said(format!("waits for a slot of the queue: {taken}"));
        }
        if let Some(missing) = self.missing_worker(namespace, lane) {
            return missing;
        }
        Need::Said(if lane.alone {
            "waits for a worker with nothing else to do: workers died with it before".to_owned()
        } else {
            format!("waits for a free slot on a worker that has `{}`", lane.workflow)
        })
    }

    /// What is missing, where no connected worker may take the runs of a lane.
    fn missing_worker(&self, namespace: &Namespace, lane: &LaneKey) -> Option<Need> {
        let workflow = &*lane.workflow;
        let of_namespace = || self.workers.values().filter(|w| w.namespace == *namespace);
        let having: Vec<&Worker> = of_namespace()
            .filter(|w| w.connection.is_some() && w.definitions.contains_key(workflow))
            .collect();
        if having.is_empty() {
            let none = format!("waits for a worker that has `{workflow}`: none is connected");
            return Some(Need::Said(none));
        }
        let build = lane.build.as_ref();
        let fits = |worker: &&&Worker| build.is_none_or(|build| worker.fits_build(build));
        let fitting: Vec<_> = having.iter().filter(fits).collect();
        match build {
            Some((build, _, true)) if fitting.is_empty() => {
                let kept = format!("waits for a worker of build `{build}`, to which it is kept");
                return Some(Need::Said(kept));
            }
            Some((build, _, false)) if fitting.is_empty() => {
                return Some(Need::Build(build.clone()));
            }
            _ => {}
        }
        if fitting.iter().all(|worker| worker.draining) {
            let drain = format!("waits for a worker that has `{workflow}`: those there drain");
            return Some(Need::Said(drain));
        }
        let (key, _) = lane.placement.as_ref().filter(|(_, require)| *require)?;
        let holds = |worker: &Worker| worker.placements.contains(&**key);
        let elsewhere = of_namespace().any(holds) && !fitting.iter().any(|worker| holds(worker));
        elsewhere.then(|| Need::Said(format!("waits for the worker that holds `{key}`")))
    }
}

/// What the runs of a lane lack.
enum Need {
    Said(String),
    /// A worker of this build or a newer one: an operator may do without, for each run.
    Build(Arc<str>),
}

impl Need {
    fn of(&self, run: RunId) -> String {
        match self {
            Self::Said(need) => need.clone(),
            Self::Build(build) => format!(
                "waits for a worker of build `{build}` or a newer one; `polos runs resume {run} \
                 --any-build` lets an older one take it"
            ),
        }
    }
}

fn all_taken(taken: usize) -> String {
    if taken == 1 { "the only one is taken".to_owned() } else { format!("all {taken} are taken") }
}
