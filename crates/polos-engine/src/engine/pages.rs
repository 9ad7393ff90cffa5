//! Pages of journals, read from the store once the batch is durable: the start of a run, and what a
//! worker lacks.

use super::Engine;
use crate::error::Error;
use crate::live::Live;
use polos_protocol::frame::{Append, FromServer, Start};
use polos_protocol::{Record, RunId, limits};
use polos_store::{Read, ReadError};

/// A page that is due.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) run: RunId,
    pub(super) assignment: u64,
    /// True for the start of a run, with its input.
    pub(super) is_start: bool,
}

impl Engine {
    /// A worker is to be sent the journal from where it has it.
    pub(crate) fn page_due(&mut self, run: RunId, assignment: u64) {
        self.pages.push(Page { run, assignment, is_start: false });
    }

    pub(super) fn turn_pages(&mut self, store: &dyn Read) -> Result<(), Error> {
        for page in std::mem::take(&mut self.pages) {
            let now = self.now;
            let Some(live) = self.runs.get_mut(&page.run) else { continue };
            if live.run.status.assignment != page.assignment || live.held.is_none() {
                continue;
            }
            let (records, upto) = next_records(live, store)?;
            let frame = if page.is_start {
                FromServer::Start(Box::new(start(live, records, now)))
            } else {
                FromServer::Append(Append {
                    run: page.run,
                    assignment: page.assignment,
                    records,
                    seq: upto,
                    more: upto < live.journal.seq,
                })
            };
            if let Some(held) = live.held.as_mut() {
                held.sent_seq = Some(upto);
                let worker = held.worker;
                self.send(worker, frame);
            }
        }
        Ok(())
    }
}

/// The next records that the worker lacks and that stand, and up to where they go.
fn next_records(live: &Live, store: &dyn Read) -> Result<(Vec<Record>, u64), ReadError> {
    let row = &live.run.row;
    let mut after = live.held.as_ref().and_then(|held| held.sent_seq).unwrap_or(0);
    let mut page = Vec::new();
    while page.is_empty() && after < live.journal.seq {
        let records = store.journal(&row.namespace, row.id, after, limits::JOURNAL_PAGE_BYTES)?;
        let Some(last) = records.last() else { break };
        after = last.seq;
        page.extend(records.into_iter().filter(|record| !live.journal.is_superseded(record.seq)));
    }
    Ok((page, after))
}

fn start(live: &Live, journal: Vec<Record>, now: u64) -> Start {
    let (row, status) = (&live.run.row, &live.run.status);
    Start {
        run: row.id,
        assignment: status.assignment,
        workflow: row.workflow.clone(),
        kind: row.kind,
        input: row.input.clone(),
        seed: row.seed.clone(),
        created_ms: row.created_ms,
        now,
        options: row.options.clone(),
        root: row.root,
        parent: row.parent,
        depth: row.depth,
        build: status.build.clone(),
        principal: row.principal.clone(),
        previous: status.previous,
        lost: status.lost.clone(),
        alone: status.alone,
        key_generation: status.key_generation,
        settled: status.settled.clone(),
        accepted: status.accepted.clone(),
        journal,
        seq: live.journal.seq,
    }
}
