//! Fork: a new run with the journal up to a step. Answers and results come along as values; grants,
//! credentials and living children do not.

use super::Caller;
use crate::engine::Engine;
use crate::error::{Class, Error};
use crate::journal::{Added, OpenWait};
use polos_protocol::record::{Kind, Open};
use polos_protocol::rest::{ForkRequest, StartRequest, VerbResponse};
use polos_protocol::supersede::Superseded;
use polos_protocol::{Json, Record, RunId, StepKey, limits};
use polos_store::{Change, Read};
use std::collections::{BTreeMap, BTreeSet};

impl Engine {
    pub(super) fn fork(
        &mut self,
        caller: Caller<'_>,
        id: RunId,
        request: ForkRequest,
        store: &dyn Read,
    ) -> Result<VerbResponse, Error> {
        let live = &self.runs[&id];
        let row = live.run.row.clone();
        let upto = match &request.at {
            None => u64::MAX,
            Some(key) => live.journal.first_seq(key).ok_or_else(|| {
                let message = format!("run `{id}` has no step `{key}`");
                Error::new(
                    Class::NotFound,
                    "no_step",
                    message,
                    format!("`polos runs show {id}` lists its steps"),
                )
            })?,
        };
        let all = read_journal(&row.namespace, id, store)?;
        let prefix = prefix(all, upto);
        let start = StartRequest {
            workflow: row.workflow.clone(),
            input: Json::default(),
            key: None,
            options: row.options.clone(),
            must_exist: false,
        };
        let input = request.input.map_or_else(|| row.input.clone(), Json::into_value);
        let fork = self.new_run(caller, start, input, Some((id, row.seed.clone())));
        let copied = prefix.len();
        self.copy_into(fork, prefix);
        self.say_verb(fork, "forked", caller.principal, Some(format!("from {id}")));
        self.say_verb(id, "forked", caller.principal, Some(format!("to {fork}")));
        Ok(self.done(fork, format!("it begins with {copied} records of `{id}`")))
    }

    fn copy_into(&mut self, fork: RunId, prefix: Vec<Record>) {
        let Some(live) = self.runs.get_mut(&fork) else { return };
        let mut places: BTreeMap<u64, u64> = BTreeMap::new();
        let mut rows = Vec::with_capacity(prefix.len());
        for mut record in prefix {
            // A step's own place moves up where records before it were left out.
            record.record.after =
                places.range(..=record.record.after).next_back().map_or(0, |(_, seq)| *seq);
            record.record.n = 0;
            record.assignment = 0;
            let open = opened(&record, fork);
            let seq = live.journal.add(Added {
                kind: record.kind(),
                key: record.key(),
                ok: record.record.error.is_none(),
                after: record.record.after,
                at: record.at,
                size: record.record.size(),
                n: None,
                open,
                reset: None,
                resolved: None,
            });
            places.insert(record.seq, seq);
            record.seq = seq;
            rows.push(record);
        }
        if !rows.is_empty() {
            self.change(Change::AppendRecords(fork, rows));
        }
    }
}

fn opened(record: &Record, fork: RunId) -> Option<OpenWait> {
    if record.kind() != Kind::Open {
        return None;
    }
    record.record.detail::<Open>().ok().map(|open| OpenWait::new(&open, fork, record.key(), 0))
}

fn read_journal(
    namespace: &polos_protocol::Namespace,
    id: RunId,
    store: &dyn Read,
) -> Result<Vec<Record>, Error> {
    let mut all = Vec::new();
    let mut after = 0;
    loop {
        let page = store.journal(namespace, id, after, limits::JOURNAL_PAGE_BYTES)?;
        let Some(last) = page.last() else { return Ok(all) };
        after = last.seq;
        all.extend(page);
    }
}

/// What stands before a place and has its outcome there.
fn prefix(all: Vec<Record>, upto: u64) -> Vec<Record> {
    let superseded = Superseded::of_records(&all);
    let standing: Vec<Record> = all
        .into_iter()
        .filter(|record| record.seq < upto && !superseded.contains(record.seq))
        .filter(|record| !matches!(record.kind(), Kind::Verb | Kind::Reset | Kind::Cancel))
        .collect();
    let has = |kind: Kind| -> BTreeSet<StepKey> {
        standing.iter().filter(|r| r.kind() == kind).map(|r| r.key().clone()).collect()
    };
    let (resolved, steps, lost) = (has(Kind::Resolved), has(Kind::Step), has(Kind::Lost));
    standing
        .into_iter()
        .filter(|record| match record.kind() {
            Kind::Open => resolved.contains(record.key()) || lost.contains(record.key()),
            Kind::Intent | Kind::Attempt => steps.contains(record.key()),
            _ => true,
        })
        .collect()
}
