//! The invariants, from what the store holds and what happened in the world.

#![expect(clippy::unused_self, reason = "one checker, whatever it needs to remember")]

use super::clients::{Clients, NARROW_RUNS, NARROW_RUNS_PER_KEY};
use super::program::{KEEPS, NARROW};
use super::story;
use super::world::World;
use crate::store::Memory;
use polos_protocol::frame::FromServer;
use polos_protocol::record::{Kind, ResolvedDetail};
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
    /// The assignment that wrote last, and the number of its record.
    last: (u64, u64),
    ended: Option<State>,
    standing: Standing,
}

/// What the standing records of a journal say.
#[derive(Debug, Default)]
struct Standing {
    steps: BTreeSet<StepKey>,
    resolved: BTreeSet<StepKey>,
    /// Events and signals that were consumed: by sort, topic and place.
    consumed: BTreeMap<(String, String, u64), StepKey>,
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
            if let Err(what) = check_place(seen, &record, [before, status.assignment]) {
                return wrong(&what);
            }
            let taken_back = matches!(record.kind(), Kind::Reset | Kind::Lost);
            let told = if taken_back {
                let all = store.journal(&run.row.namespace, id, 0, usize::MAX).unwrap_or_default();
                Standing::of(&all, record.seq).map(|standing| seen.standing = standing)
            } else {
                seen.standing.add(&record)
            };
            if let Err(what) = told {
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
            && !["poison", "wedged", "queue_deadlock"].contains(&&*blocked.code)
        {
            return wrong(&format!("it is blocked: {} {}", blocked.code, blocked.message));
        }
        if let Err(what) = check_cancelled(store, run) {
            return wrong(&what);
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
        let superseded = Superseded::of_records(&records);
        let recorded = records.iter().any(|r| {
            r.kind() == Kind::Step
                && *r.key() == begin.key
                && r.seq <= seq
                && !superseded.contains(r.seq)
        });
        if recorded {
            return Err(format!(
                "{run}: the recorded step `{}` runs again: {}",
                begin.key,
                story(store, run)
            ));
        }
        Ok(())
    }

    /// Never more runs of a queue work at once than it allows, in all and of one key; a queue whose
    /// runs keep their slots counts slots. A worker that has lost its runs and does not know it yet
    /// does not count: it has no slots.
    pub(super) fn executing(
        &self,
        store: &Memory,
        executing: &[(RunId, u64)],
        kept_slots: u32,
    ) -> Result<(), String> {
        let namespace = Namespace::default();
        let mut slots: BTreeMap<(String, Option<String>), BTreeSet<RunId>> = BTreeMap::new();
        for (id, assignment) in executing {
            let Some(run) = store.run(&namespace, *id).ok().flatten() else { continue };
            if run.status.state == State::Running && run.status.assignment == *assignment {
                let key = run.row.options.concurrency_key.clone();
                let slot = run.status.slot.unwrap_or(*id);
                for key in [None, Some(key.unwrap_or_default())] {
                    slots.entry((run.row.queue.clone(), key)).or_default().insert(slot);
                }
            }
        }
        for ((queue, key), runs) in slots {
            let most = match (queue.as_str(), &key) {
                (NARROW, None) => NARROW_RUNS,
                (NARROW, Some(_)) => NARROW_RUNS_PER_KEY,
                (KEEPS, None) => kept_slots,
                _ => continue,
            };
            if runs.len() > most as usize {
                let found = runs.len();
                return Err(format!("{found} of {queue} {key:?} at once, not {most}: {runs:?}"));
            }
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
            let recorded =
                self.seen.get(&run).is_some_and(|seen| seen.standing.steps.contains(&key));
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

fn check_place(seen: &mut Seen, record: &Record, assignments: [u64; 2]) -> Result<(), String> {
    if record.assignment == 0 {
        return Ok(());
    }
    let [before, after] = assignments;
    if record.assignment < before || record.assignment > after {
        return Err(format!("record {} was written under a stale assignment", record.seq));
    }
    let (assignment, n) = seen.last;
    let next = if assignment == record.assignment { n + 1 } else { 1 };
    if record.record.n != next {
        return Err(format!("record {} came out of turn", record.seq));
    }
    seen.last = (record.assignment, record.record.n);
    Ok(())
}

impl Standing {
    /// What stands in a journal up to a place.
    fn of(records: &[Record], upto: u64) -> Result<Self, String> {
        let records: Vec<Record> =
            records.iter().filter(|record| record.seq <= upto).cloned().collect();
        let superseded = Superseded::of_records(&records);
        let standing = || records.iter().filter(|record| !superseded.contains(record.seq));
        // A wait that lost a race has consumed nothing of what came after the code last looked.
        let lost: Vec<&Record> = standing().filter(|r| r.kind() == Kind::Lost).collect();
        let is_unseen = |record: &Record| {
            let by = |lost: &&Record| {
                record.key().is_within(lost.key()) && record.seq > lost.record.after
            };
            record.kind() == Kind::Resolved && lost.iter().any(by)
        };
        let mut all = Self::default();
        for record in standing() {
            if is_unseen(record) {
                all.resolved.insert(record.key().clone());
            } else {
                all.add(record)?;
            }
        }
        Ok(all)
    }

    fn add(&mut self, record: &Record) -> Result<(), String> {
        let key = record.key().clone();
        match record.kind() {
            Kind::Step if !self.steps.insert(key.clone()) => {
                Err(format!("the step `{key}` was recorded twice"))
            }
            Kind::Resolved if !self.resolved.insert(key.clone()) => {
                Err(format!("the wait `{key}` ended twice"))
            }
            Kind::Resolved => self.consume(record),
            _ => Ok(()),
        }
    }

    /// A run sees each event and each signal once.
    fn consume(&mut self, record: &Record) -> Result<(), String> {
        let detail: ResolvedDetail = record.record.detail().unwrap_or_default();
        let (Some(topic), Some(place)) = (detail.topic, detail.position) else { return Ok(()) };
        let taken = self.consumed.insert((detail.by, topic.clone(), place), record.key().clone());
        taken.map_or(Ok(()), |by| {
            Err(format!("event {place} of `{topic}` came to `{by}` and to `{}`", record.key()))
        })
    }
}

/// A run that is being cancelled has been told, and its children with it.
fn check_cancelled(store: &Memory, run: &Run) -> Result<(), String> {
    let status = &run.status;
    if status.cancelling.is_none() || status.state.is_ended() || status.started_ms.is_none() {
        return Ok(());
    }
    let namespace = &run.row.namespace;
    let records = store.journal(namespace, run.row.id, 0, usize::MAX).unwrap_or_default();
    if !records.iter().any(|record| record.kind() == Kind::Cancel) {
        return Err("it is being cancelled, and its journal does not say so".to_owned());
    }
    Ok(())
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
    // After a retry another child may stand under its key.
    let opens = |r: &&Record| r.kind() == Kind::Open && r.key() == key;
    let is_own = |nth: usize| {
        let name = if nth == 0 { key.to_string() } else { format!("{key}#0{nth}") };
        RunId::derived(parent.bytes(), &name) == run.row.id
    };
    let own = records.iter().filter(opens).enumerate().find(|(nth, _)| is_own(*nth));
    if own.is_some_and(|(_, open)| superseded.contains(open.seq)) {
        return Ok(());
    }
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
