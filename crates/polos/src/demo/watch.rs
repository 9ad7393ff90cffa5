//! Reads the journals of a run and of all that it starts, as they grow. The server may go away and
//! come back meanwhile; what was read is not read again.

use std::collections::BTreeMap;

use polos_protocol::rest::{Approval, ApprovalState, RunFilter};
use polos_protocol::{Kind, Record, RunId, State};
use polos_sdk::client::{ApprovalsQuery, Client, RunsQuery};

use super::summary::Journaled;
use super::worker::Begin;

/// Records that one request brings.
const PAGE: u32 = 500;
/// Runs that one request brings.
const RUNS: u32 = 200;

/// A run of the tree, as far as it has been read.
#[derive(Debug)]
pub(crate) struct Known {
    pub(crate) workflow: String,
    pub(crate) state: State,
    pub(crate) records: Vec<Record>,
    after: u64,
    /// Read to the end after it ended.
    is_read: bool,
}

/// A run and what it starts.
#[derive(Debug)]
pub(crate) struct Watch {
    root: RunId,
    runs: BTreeMap<RunId, Known>,
}

/// A record that was not there at the last look, and the name of what ran.
pub(crate) type News = (String, Record);

impl Watch {
    pub(crate) fn new(root: RunId) -> Self {
        Self { root, runs: BTreeMap::new() }
    }

    /// Looks once at everything; new records come in the order in which they were committed.
    pub(crate) async fn look(&mut self, client: &Client) -> anyhow::Result<Vec<News>> {
        let filter = RunFilter { root: Some(self.root), ..RunFilter::default() };
        let query = RunsQuery { filter, cursor: None, limit: Some(RUNS) };
        let page = client.runs(&query).await?;
        for run in page.items {
            let known = self.runs.entry(run.id).or_insert_with(|| Known {
                workflow: run.workflow,
                state: run.state,
                records: Vec::new(),
                after: 0,
                is_read: false,
            });
            known.state = run.state;
        }
        let mut news = Vec::new();
        for (id, known) in self.runs.iter_mut().filter(|(_, known)| !known.is_read) {
            let had_ended = known.state.is_ended();
            let from = known.records.len();
            known.read(client, *id).await?;
            known.is_read = had_ended;
            let fresh = known.records[from..].iter();
            news.extend(fresh.map(|record| (known.workflow.clone(), record.clone())));
        }
        news.sort_by_key(|(_, record)| record.at);
        Ok(news)
    }

    /// Where the first run stands; queued before it has been seen.
    pub(crate) fn state(&self) -> State {
        self.runs.get(&self.root).map_or(State::Queued, |known| known.state)
    }

    /// The runs of a workflow or agent, oldest first.
    pub(crate) fn runs_of<'a>(&'a self, workflow: &'a str) -> impl Iterator<Item = &'a Known> {
        self.runs.values().filter(move |known| known.workflow == workflow)
    }

    /// A run of the tree that cannot go on without a person, if there is one.
    pub(crate) fn blocked(&self) -> Option<RunId> {
        let blocked = |(_, known): &(&RunId, &Known)| known.state == State::Blocked;
        self.runs.iter().find(blocked).map(|(id, _)| *id)
    }

    /// What waits for a person, anywhere in the tree.
    pub(crate) async fn questions(&self, client: &Client) -> anyhow::Result<Vec<Approval>> {
        let mut questions = Vec::new();
        for (id, known) in &self.runs {
            let is_open = |record: &Record| record.kind() == Kind::Open;
            if known.state.is_ended() || !known.records.iter().any(is_open) {
                continue;
            }
            let (state, run) = (Some(ApprovalState::Pending), Some(*id));
            let query = ApprovalsQuery { state, run, ..ApprovalsQuery::default() };
            questions.extend(client.approvals(&query).await?.items);
        }
        Ok(questions)
    }

    /// What goes on at this moment, in words.
    pub(crate) fn busy_with(&self) -> String {
        let running = |known: &&Known| known.state == State::Running && known.workflow != "demo";
        match self.runs.values().rfind(running) {
            Some(known) if known.has_open_command() => {
                format!("{}: a command runs", known.workflow)
            }
            Some(known) => format!("{} thinks", known.workflow),
            None => "the run goes on".to_owned(),
        }
    }

    /// Counts steps and answered waits in the journals: those recorded, and, for each time that a
    /// run's code began anew, those that were there already and stood in for doing them again.
    pub(crate) fn journaled(&self, begins: &[Begin]) -> Journaled {
        let is_step = |record: &&Record| matches!(record.kind(), Kind::Step | Kind::Resolved);
        let recorded = self.runs.values().map(|known| known.records.iter().filter(is_step).count());
        let replayed = begins.iter().filter_map(|begin| {
            let known = self.runs.get(&begin.run)?;
            let before = |record: &&Record| record.at <= begin.at;
            Some(known.records.iter().filter(is_step).filter(before).count())
        });
        Journaled { recorded: recorded.sum(), replayed: replayed.sum() }
    }
}

impl Known {
    async fn read(&mut self, client: &Client, id: RunId) -> anyhow::Result<()> {
        loop {
            let page = client.journal(id, self.after, Some(PAGE)).await?;
            for entry in page.records {
                self.after = self.after.max(entry.record.seq);
                self.records.push(entry.record);
            }
            if page.next_after.is_none() {
                return Ok(());
            }
        }
    }

    /// True while a `once` step has begun and not ended.
    pub(crate) fn has_open_command(&self) -> bool {
        let last =
            self.records.iter().rev().find(|r| matches!(r.kind(), Kind::Intent | Kind::Step));
        last.is_some_and(|record| record.kind() == Kind::Intent)
    }
}
