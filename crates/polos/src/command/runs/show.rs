//! `polos runs show`: a run told as a story.

use crate::context::Context;
use crate::exit::Exit;
use crate::show::moment;
use crate::story::{Story, Telling};
use crate::talk;
use anyhow::Result;
use polos_protocol::RunId;
use polos_protocol::rest::{JournalEntry, RunFilter};
use polos_sdk::client::{ApprovalsQuery, Client, RunsQuery};

/// How many records of one journal a story reads.
const RECORDS_MAX: usize = 5_000;
/// How many records one request asks for.
const PAGE_RECORDS: u32 = 500;
/// How many children of one run a story tells.
const CHILDREN_MAX: u32 = 100;

/// Show what a run did, what it waits for, and the way out if it is stuck
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The run
    run: RunId,
    /// Show what a retry took back as well
    #[arg(long)]
    all: bool,
    /// How deep to follow the runs that it started
    #[arg(long, value_name = "N", default_value_t = 2)]
    depth: u32,
}

pub(crate) async fn run(args: Args, context: &Context) -> Result<Exit> {
    let story = read(&context.client().await?, args.run, args.depth).await?;
    if context.is_json() {
        talk::json(&story)?;
    } else {
        let telling = Telling {
            columns: context.columns(),
            paint: context.paint(),
            now: moment::now(),
            all: args.all,
        };
        talk::data(&story.tell(&telling))?;
    }
    Ok(Exit::Done)
}

/// Reads a run with its journal, questions and children.
pub(crate) async fn read(client: &Client, id: RunId, depth: u32) -> Result<Story> {
    let run = client.run(id).await?;
    let (journal, is_cut) = journal(client, id).await?;
    let approvals = client
        .approvals(&ApprovalsQuery { run: Some(id), ..ApprovalsQuery::default() })
        .await?
        .items;
    let children = if depth > 0 { children(client, id, depth - 1).await? } else { Vec::new() };
    Ok(Story { run, journal, approvals, children, is_cut })
}

async fn journal(client: &Client, id: RunId) -> Result<(Vec<JournalEntry>, bool)> {
    let mut entries = Vec::new();
    let mut after = 0;
    loop {
        let page = client.journal(id, after, Some(PAGE_RECORDS)).await?;
        entries.extend(page.records);
        match page.next_after {
            Some(next) if entries.len() < RECORDS_MAX => after = next,
            next => return Ok((entries, next.is_some())),
        }
    }
}

async fn children(client: &Client, parent: RunId, depth: u32) -> Result<Vec<Story>> {
    let filter = RunFilter { parent: Some(parent), ..RunFilter::default() };
    let query = RunsQuery { filter, limit: Some(CHILDREN_MAX), ..RunsQuery::default() };
    let page = client.runs(&query).await?;
    let mut stories = Vec::with_capacity(page.items.len());
    for summary in page.items {
        stories.push(Box::pin(read(client, summary.id, depth)).await?);
    }
    Ok(stories)
}
