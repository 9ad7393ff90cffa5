//! Orders of pages, once the batch is durable: the journal of a run that was given to a worker, and
//! what a worker lacks.

use super::Engine;
use crate::input::ConnectionId;
use crate::live::{Live, Phase};
use crate::output::Output;
use crate::pager::{Ended, Order};
use polos_protocol::frame::{FromServer, Start};
use polos_protocol::supersede::Superseded;
use polos_protocol::value::Place;
use polos_protocol::{Record, RunId};

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

    pub(super) fn turn_pages(&mut self) {
        for page in std::mem::take(&mut self.pages) {
            self.order(&page);
        }
    }

    fn order(&mut self, page: &Page) {
        let now = self.now;
        let Some(live) = self.runs.get_mut(&page.run) else { return };
        let seq = live.journal.seq;
        let start = page.is_start.then(|| Box::new(start(live, now)));
        let Some(held) = live.held.as_mut() else { return };
        let connection = self.workers.get(&held.worker).and_then(|worker| worker.connection);
        let Some(connection) = connection.filter(|_| {
            // What is on its way is followed by the rest.
            live.run.status.assignment == page.assignment && held.paging.is_none()
        }) else {
            return;
        };
        let after = held.sent_seq.unwrap_or(0);
        match start {
            Some(start) if seq == 0 => {
                held.sent_seq = Some(0);
                self.output(Output::Send(connection, FromServer::Start(start)));
            }
            None if after >= seq => {}
            start => {
                held.paging = Some(seq);
                let (row, mut superseded) = (&live.run.row, live.journal.superseded().clone());
                if self.config.is_mutated("superseded_stands") {
                    superseded = Superseded::default();
                }
                let order = Order {
                    namespace: row.namespace.clone(),
                    run: row.id,
                    assignment: page.assignment,
                    start,
                    after,
                    upto: seq,
                    superseded,
                };
                self.output(Output::Page(connection, Box::new(order)));
            }
        }
    }

    /// The last page of an order leaves: what came meanwhile follows.
    pub(crate) fn paged(&mut self, connection: ConnectionId, ended: Ended) {
        let Some(worker) = self.connections.get(&connection).copied() else { return };
        let Some(live) = self.runs.get_mut(&ended.run) else { return };
        let (assignment, seq) = (live.run.status.assignment, live.journal.seq);
        let Some(held) = live.held.as_mut() else { return };
        let is_current = held.worker == worker
            && assignment == ended.assignment
            && held.paging == Some(ended.upto);
        if !is_current {
            return;
        }
        held.paging = None;
        held.sent_seq = Some(ended.upto);
        // What came for a run that waits for its slot stays back until it has it.
        if ended.upto < seq && held.phase != Phase::Resuming {
            self.page_due(ended.run, assignment);
        }
    }
}

/// A record as a worker is shown it.
pub(crate) fn shown(run: RunId, record: &Record) -> Record {
    let mut shown = record.clone();
    let place = Place::Record(run, record.seq);
    shown.record.value = shown.record.value.map(|value| value.in_frame(place));
    shown
}

fn start(live: &Live, now: u64) -> Start {
    let (row, status) = (&live.run.row, &live.run.status);
    Start {
        run: row.id,
        assignment: status.assignment,
        workflow: row.workflow.clone(),
        kind: row.kind,
        input: row.input.in_frame(Place::Input(row.id)),
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
        journal: Vec::new(),
        seq: live.journal.seq,
    }
}
