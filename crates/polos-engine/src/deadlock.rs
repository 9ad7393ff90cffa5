//! Runs that keep their queue slots while they wait for runs that need such a slot: a ring that
//! cannot move. The run that closes it blocks, since only a person can open it.
//!
//! A run can move if it runs, if something outside may wake it, or if a person is asked already.
//! One that waits for a child moves when the child does; one that waits for a slot moves when there
//! is room, or when any of those in its way does. What is left over cannot move.

use crate::engine::{Engine, Parting};
use crate::error::Error;
use crate::journal::OpenWait;
use crate::live::{Live, Phase};
use polos_protocol::failure::codes;
use polos_protocol::frame::{FromServer, RunRef};
use polos_protocol::{Blocked, Namespace, QueueConfig, RunId, State, Wait};
use polos_store::Read;
use polos_store::read::ReadyRun;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

/// So many runs are looked at: in a larger knot the run is taken to be able to move.
const RUNS_MAX: usize = 10_000;

/// What lets a run move.
#[derive(Debug)]
enum Moves {
    /// Itself, the world outside, or a person.
    Freely,
    /// Any of these runs.
    WithAnyOf(Vec<RunId>),
    /// What it waits for.
    With { wait: Wait, children: BTreeMap<polos_protocol::StepKey, RunId> },
}

impl Engine {
    /// A run has begun to wait. If that closes a ring of runs that cannot move, it blocks. True if
    /// it does.
    pub(crate) fn block_if_deadlocked(
        &mut self,
        id: RunId,
        store: &dyn Read,
    ) -> Result<bool, Error> {
        let Some(live) = self.runs.get(&id) else { return Ok(false) };
        let namespace = live.run.row.namespace.clone();
        let children: Vec<RunId> = live.journal.opens.values().filter_map(child_of).collect();
        if children.is_empty()
            || !self.schedule.any_full(&namespace)
            || self.config.is_mutated("deadlock_not_seen")
        {
            return Ok(false);
        }
        for child in children {
            if self.bring(&namespace, child, store)? {
                self.adopt(id, child);
            }
        }
        let Some(knot) = self.knot(&namespace, id, store)? else { return Ok(false) };
        if movers(&knot).contains(&id) {
            return Ok(false);
        }
        let Some(blocked) = self.deadlocked(id, &knot) else { return Ok(false) };
        let (holder, assignment) = {
            let live = &self.runs[&id];
            (live.held.as_ref().map(|held| held.worker), live.run.status.assignment)
        };
        self.block(id, blocked, Parting::Clean);
        if let Some(worker) = holder {
            self.send(worker, FromServer::Done(RunRef { run: id, assignment }));
        }
        Ok(true)
    }

    /// A child that was ready before its parent had a slot runs under it from now on.
    fn adopt(&mut self, parent: RunId, child: RunId) {
        let run = &self.runs[&child].run;
        if run.status.state != State::Queued || run.status.slot.is_some() {
            return;
        }
        let run = run.clone();
        self.unready(&run);
        self.join_slot(parent, child);
        self.mark_dirty(child);
        self.enqueue(&ReadyRun::of(&run));
    }

    /// A queue allows less than before, or something else: looks at all that keep a slot of it.
    pub(crate) fn look_for_deadlock(
        &mut self,
        namespace: &Namespace,
        queue: &str,
        store: &dyn Read,
    ) -> Result<(), Error> {
        let members: Vec<RunId> = self
            .schedule
            .find(namespace, queue)
            .map(|queue| queue.members().take(RUNS_MAX).collect())
            .unwrap_or_default();
        for id in members {
            if self.bring(namespace, id, store)?
                && wait_of(&self.runs[&id]).is_some()
                && self.block_if_deadlocked(id, store)?
            {
                return Ok(());
            }
        }
        Ok(())
    }

    /// All runs on which it depends whether this one can move. None if it surely can.
    fn knot(
        &mut self,
        namespace: &Namespace,
        id: RunId,
        store: &dyn Read,
    ) -> Result<Option<BTreeMap<RunId, Moves>>, Error> {
        let mut knot = BTreeMap::new();
        let mut next = vec![id];
        while let Some(run) = next.pop() {
            if knot.contains_key(&run) {
                continue;
            }
            if knot.len() >= RUNS_MAX {
                return Ok(None);
            }
            let moves =
                if self.bring(namespace, run, store)? { self.moves(run) } else { Moves::Freely };
            match &moves {
                Moves::Freely => {}
                Moves::WithAnyOf(runs) => next.extend(runs),
                Moves::With { children, .. } => next.extend(children.values()),
            }
            knot.insert(run, moves);
        }
        Ok(Some(knot))
    }

    fn moves(&self, id: RunId) -> Moves {
        let live = &self.runs[&id];
        if live.run.status.cancelling.is_some() {
            return Moves::Freely;
        }
        if let Some(wait) = wait_of(live) {
            let opens = live.journal.opens.iter();
            let children = opens.filter_map(|(key, open)| Some((key.clone(), child_of(open)?)));
            return Moves::With { wait: wait.clone(), children: children.collect() };
        }
        let resuming = live.held.as_ref().is_some_and(|held| held.phase == Phase::Resuming);
        if live.run.status.state != State::Queued && !resuming {
            return Moves::Freely;
        }
        let row = &live.run.row;
        let key = row.options.concurrency_key.as_deref();
        match self.schedule.find(&row.namespace, &row.queue) {
            Some(queue) if !queue.holds(id) && !queue.has_room(key) && !queue.config().paused => {
                Moves::WithAnyOf(queue.in_the_way(key))
            }
            _ => Moves::Freely,
        }
    }

    /// What a person is told: which child waits for which queue, and what makes room.
    fn deadlocked(&self, id: RunId, knot: &BTreeMap<RunId, Moves>) -> Option<Blocked> {
        let waits_for_slot = |run: &RunId| matches!(knot.get(run), Some(Moves::WithAnyOf(_)));
        // Its own child, or the first of those further down.
        let mut children = self.runs[&id].journal.opens.values().filter_map(child_of);
        let child =
            children.find(waits_for_slot).or_else(|| knot.keys().copied().find(waits_for_slot))?;
        let row = &self.runs.get(&child)?.run.row;
        let config = self.schedule.find(&row.namespace, &row.queue)?.config();
        let name = &config.name;
        Some(Blocked {
            code: codes::QUEUE_DEADLOCK.to_owned(),
            message: format!(
                "run `{child}` waits for a slot of queue `{name}`, and the runs that have its slots \
                 keep them while they wait for runs like it: none can move"
            ),
            hint: format!("make room: `{}`, then `polos runs resume {id}`", more_room(config)),
            step: None,
            difference: None,
            failure: None,
            since: 0,
        })
    }
}

fn child_of(open: &OpenWait) -> Option<RunId> {
    if let OpenWait::Child { run, .. } = open { Some(*run) } else { None }
}

/// The command that lets one more run of a queue go.
fn more_room(config: &QueueConfig) -> String {
    let mut command = format!("polos queues set {}", config.name);
    for (flag, limit) in
        [("concurrency", config.concurrency), ("concurrency-per-key", config.concurrency_per_key)]
    {
        if let Some(limit) = limit {
            let _ = write!(command, " --{flag} {}", limit.saturating_add(1));
        }
    }
    if config.hold {
        command.push_str(" --hold");
    }
    command
}

fn wait_of(live: &Live) -> Option<&Wait> {
    match live.held.as_ref().map(|held| &held.phase) {
        Some(Phase::Hot { wait }) => Some(wait),
        Some(_) => None,
        None => live.run.status.wait.as_ref().filter(|_| live.run.status.state == State::Waiting),
    }
}

/// The runs of a knot that can move: the least set that follows from those that do so freely.
fn movers(knot: &BTreeMap<RunId, Moves>) -> BTreeSet<RunId> {
    let mut movers = BTreeSet::new();
    loop {
        let before = movers.len();
        for (run, moves) in knot {
            let moves = match moves {
                Moves::Freely => true,
                Moves::WithAnyOf(runs) => runs.iter().any(|run| movers.contains(run)),
                Moves::With { wait, children } => comes_true(wait, &mut |key| {
                    children.get(key).is_none_or(|child| movers.contains(child))
                }),
            };
            if moves {
                movers.insert(*run);
            }
        }
        if movers.len() == before {
            return movers;
        }
    }
}

/// True if the wait can come true, where `leaf` says which keys can have an outcome.
fn comes_true(wait: &Wait, leaf: &mut impl FnMut(&polos_protocol::StepKey) -> bool) -> bool {
    match wait {
        Wait::Key(key) => leaf(key),
        Wait::Until(_) => true,
        Wait::All(waits) => waits.iter().all(|wait| comes_true(wait, leaf)),
        Wait::Any(waits) | Wait::First(waits) => waits.iter().any(|wait| comes_true(wait, leaf)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use polos_protocol::StepKey;

    fn run(number: u64) -> RunId {
        RunId::from_parts(number, [0; 10])
    }

    fn key(name: &str) -> StepKey {
        StepKey::run().child(name, 1)
    }

    fn waits_for(wait: Wait, children: &[(&str, u64)]) -> Moves {
        let children = children.iter().map(|(name, number)| (key(name), run(*number)));
        Moves::With { wait, children: children.collect() }
    }

    fn check(knot: Vec<(u64, Moves)>, expect: &[u64]) {
        let knot = knot.into_iter().map(|(number, moves)| (run(number), moves)).collect();
        let expect: BTreeSet<RunId> = expect.iter().map(|number| run(*number)).collect();
        assert_eq!(movers(&knot), expect);
    }

    #[test]
    fn a_ring_cannot_move_and_what_hangs_on_a_mover_can() {
        let on = |name: &str| Wait::Key(key(name));
        let ring =
            || vec![(1, waits_for(on("c"), &[("c", 2)])), (2, Moves::WithAnyOf(vec![run(1)]))];
        check(ring(), &[]);
        let mut two = ring();
        two[1].1 = Moves::WithAnyOf(vec![run(1), run(3)]);
        two.push((3, Moves::Freely));
        check(two, &[1, 2, 3]);
    }

    #[test]
    fn all_needs_each_and_first_needs_one() {
        let both = || vec![Wait::Key(key("c")), Wait::Key(key("timer"))];
        let stuck = || (2, Moves::WithAnyOf(vec![run(1)]));
        check(vec![(1, waits_for(Wait::All(both()), &[("c", 2)])), stuck()], &[]);
        check(vec![(1, waits_for(Wait::First(both()), &[("c", 2)])), stuck()], &[1, 2]);
    }
}
