//! The invariants, from what the store holds and what happened in the world.

#![expect(clippy::unused_self, reason = "one checker, whatever it needs to remember")]

use super::clients::{Clients, NARROW, NARROW_RUNS};
use super::story;
use super::world::World;
use crate::store::Memory;
use polos_protocol::frame::FromServer;
use polos_protocol::record::Kind;
use polos_protocol::rest::RunFilter;
use polos_protocol::supersede::Superseded;
use polos_protocol::{Namespace, Record, RunId, State, StepKey};
use polos_sdk::replay::{Begin, EffectKind};
use polos_store::Read;
use polos_store::read::PageRequest;
use polos_store::row::Run;
use std::collections::{BTreeMap, BTreeSet};

/// What was true after the last commit.
#[derive(Debug, Default)]
pub(super) struct Checker {
    seen: BTreeMap<RunId, Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    seq: u64,
    assignment: u64,
    last_n: u64,
    ended: Option<State>,
    steps: BTreeSet<StepKey>,
    resolved: BTreeSet<StepKey>,
    recorded: BTreeMap<u64, String>,
}

impl Checker {
    /// Checks what the last commit made true.
    pub(super) fn after_commit(&mut self, store: &Memory, world: &World) -> Result<(), String> {
        for run in runs(store) {
            self.check_run(store, &run)?;
        }
        if let Some((run, key)) = world.twice() {
            return Err(format!("the `once` effect of `{key}` in {run} happened twice"));
        }
        Ok(())
    }

    fn check_run(&mut self, store: &Memory, run: &Run) -> Result<(), String> {
        let id = run.row.id;
        let seen = self.seen.entry(id).or_default();
        let wrong = |what: &str| Err(format!("{id}: {what}: {}", story(store, id)));
        let status = &run.status;
        if status.assignment < seen.assignment {
            return wrong("its assignment went back");
        }
        let before = std::mem::replace(&mut seen.assignment, status.assignment);
        let news = store.journal(&run.row.namespace, id, seen.seq, usize::MAX).unwrap_or_default();
        for record in news {
            if record.seq != seen.seq + 1 {
                return wrong("its journal has a gap");
            }
            seen.seq = record.seq;
            if let Err(what) = check_record(seen, &record, [before, status.assignment]) {
                return wrong(&what);
            }
        }
        if let Some(ended) = seen.ended
            && ended != status.state
            && status.state.is_ended()
        {
            return wrong("it ended twice");
        }
        seen.ended = status.state.is_ended().then_some(status.state);
        if let Some(blocked) = &status.blocked
            && blocked.code != "poison"
        {
            return wrong(&format!("it is blocked: {} {}", blocked.code, blocked.message));
        }
        check_parent(store, run)
    }

    /// A frame that leaves the server may acknowledge only what is durable.
    pub(super) fn heard(&self, store: &Memory, text: &str) -> Result<(), String> {
        let Ok(FromServer::Recorded(recorded)) = FromServer::from_text(text) else { return Ok(()) };
        for (run, assignment, n, seq) in recorded.runs {
            let found = store.journal(&Namespace::default(), run, seq - 1, 1).unwrap_or_default();
            let good = found
                .first()
                .is_some_and(|r| r.seq == seq && r.assignment == assignment && r.record.n == n);
            if !good {
                return Err(format!(
                    "{run}: record {n} was acknowledged at {seq} and is not there"
                ));
            }
        }
        Ok(())
    }

    /// An effect may begin only if its outcome is not known to its worker.
    pub(super) fn begun(
        &self,
        store: &Memory,
        run: RunId,
        begin: &Begin,
        seq: u64,
    ) -> Result<(), String> {
        if begin.kind == EffectKind::Verify {
            return Ok(());
        }
        let records = store.journal(&Namespace::default(), run, 0, usize::MAX).unwrap_or_default();
        let recorded =
            records.iter().any(|r| r.kind() == Kind::Step && *r.key() == begin.key && r.seq <= seq);
        if recorded {
            return Err(format!(
                "{run}: the recorded step `{}` runs again: {}",
                begin.key,
                story(store, run)
            ));
        }
        Ok(())
    }

    /// Never more runs of the narrow queue work at once than it allows. A worker that has lost its
    /// runs and does not know it yet does not count: it has no slots.
    pub(super) fn executing(
        &self,
        store: &Memory,
        executing: &[(RunId, u64)],
    ) -> Result<(), String> {
        let namespace = Namespace::default();
        let mut narrow = BTreeSet::new();
        for (id, assignment) in executing {
            if let Some(run) = store.run(&namespace, *id).ok().flatten()
                && run.row.queue == NARROW
                && run.status.state == State::Running
                && run.status.assignment == *assignment
            {
                narrow.insert(*id);
            }
        }
        if narrow.len() > NARROW_RUNS as usize {
            return Err(format!(
                "{} runs of a queue for {NARROW_RUNS} work at once: {narrow:?}",
                narrow.len()
            ));
        }
        Ok(())
    }

    /// True once every run has ended.
    pub(super) fn all_ended(&self, store: &Memory) -> bool {
        runs(store).iter().all(|run| run.status.state.is_ended())
    }

    /// The runs that have not ended.
    pub(super) fn unfinished(&self, store: &Memory) -> Vec<RunId> {
        let all = runs(store);
        all.iter().filter(|run| !run.status.state.is_ended()).map(|run| run.row.id).collect()
    }

    /// Checks what must be true when all is over.
    pub(super) fn at_end(
        &self,
        store: &Memory,
        world: &World,
        clients: &Clients,
    ) -> Result<(), String> {
        let roots_cancelled = &clients.cancelled;
        for run in runs(store) {
            let id = run.row.id;
            let excused = roots_cancelled.contains(&run.row.root) || run.row.parent.is_some();
            if run.status.state != State::Completed && !excused {
                return Err(format!(
                    "{id} ended {}: {:?}",
                    run.status.state.name(),
                    run.status.error
                ));
            }
        }
        for ((run, key), acts) in world.acts() {
            let known = store.run(&Namespace::default(), run).ok().flatten();
            let completed = known.is_some_and(|run| run.status.state == State::Completed);
            let recorded = self.seen.get(&run).is_some_and(|seen| seen.steps.contains(&key));
            if completed && acts.once && recorded && acts.count != 1 {
                return Err(format!(
                    "{run}: the `once` effect of `{key}` happened {} times",
                    acts.count
                ));
            }
        }
        Ok(())
    }
}

fn check_record(seen: &mut Seen, record: &Record, assignments: [u64; 2]) -> Result<(), String> {
    let key = record.key().clone();
    let n = record.record.n;
    if record.assignment > 0 {
        let [before, after] = assignments;
        if record.assignment < before || record.assignment > after {
            return Err(format!("record {} was written under a stale assignment", record.seq));
        }
        let same = seen
            .recorded
            .last_key_value()
            .is_some_and(|(_, of)| *of == record.assignment.to_string());
        if same && n != seen.last_n + 1 {
            return Err(format!("record {} came out of turn", record.seq));
        }
        seen.last_n = n;
        seen.recorded.clear();
        seen.recorded.insert(record.seq, record.assignment.to_string());
    }
    match record.kind() {
        Kind::Step if !seen.steps.insert(key.clone()) => {
            Err(format!("the step `{key}` was recorded twice"))
        }
        Kind::Resolved if !seen.resolved.insert(key.clone()) => {
            Err(format!("the wait `{key}` ended twice"))
        }
        Kind::Reset => {
            seen.steps.clear();
            seen.resolved.clear();
            Ok(())
        }
        _ => Ok(()),
    }
}

/// An ended child and its parent's record agree.
fn check_parent(store: &Memory, run: &Run) -> Result<(), String> {
    let (Some(parent), Some(key), false) = (run.row.parent, &run.row.parent_key, run.row.detached)
    else {
        return Ok(());
    };
    let namespace = &run.row.namespace;
    let Some(above) = store.run(namespace, parent).ok().flatten() else {
        return Err(format!("{}: its parent {parent} is not there", run.row.id));
    };
    let records = store.journal(namespace, parent, 0, usize::MAX).unwrap_or_default();
    let superseded = Superseded::of_records(&records);
    let standing = |kind: Kind, key: &StepKey| {
        records.iter().any(|r| r.kind() == kind && r.key() == key && !superseded.contains(r.seq))
    };
    let lost = records.iter().any(|r| r.kind() == Kind::Lost && key.is_within(r.key()));
    let told = standing(Kind::Resolved, key);
    let ended = run.status.state.is_ended();
    if ended && !told && !lost && !above.status.state.is_ended() {
        return Err(format!("{} ended and its parent {parent} does not know", run.row.id));
    }
    if told && !ended {
        return Err(format!("{parent} has the end of {}, which has not ended", run.row.id));
    }
    Ok(())
}

fn runs(store: &Memory) -> Vec<Run> {
    let page = PageRequest { cursor: None, limit: 500 };
    store
        .runs(&Namespace::default(), &RunFilter::default(), &page)
        .map(|page| page.items)
        .unwrap_or_default()
}
