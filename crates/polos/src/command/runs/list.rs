//! `polos runs list`

use super::target::Filter;
use crate::context::Context;
use crate::exit::Exit;
use crate::show::moment;
use crate::show::table::{Cell, Table};
use crate::{story, talk};
use anyhow::Result;
use polos_protocol::Millis;
use polos_protocol::rest::{PAGE_ITEMS, Page};
use polos_protocol::run::RunSummary;
use polos_sdk::client::RunsQuery;

/// List runs, newest first
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    filter: Filter,
    /// Show children too, not only runs without a parent
    #[arg(long)]
    all: bool,
    /// Show runs created in the last 15m, 2h, 1d and so on
    #[arg(long, value_name = "DURATION", value_parser = moment::parse_duration)]
    last: Option<u64>,
    /// Show at the most so many
    #[arg(long, value_name = "N", default_value_t = PAGE_ITEMS)]
    limit: u32,
    /// Go on where another list ended
    #[arg(long)]
    cursor: Option<String>,
}

pub(crate) async fn run(args: Args, context: &Context) -> Result<Exit> {
    let mut filter = args.filter.to_rest();
    let asks_for_children = filter.parent.is_some() || filter.root.is_some();
    filter.roots_only = !args.all && !asks_for_children;
    filter.created_from_ms = args.last.map(|ms| moment::now().saturating_sub(ms));
    let client = context.client().await?;
    let page =
        client.runs(&RunsQuery { filter, cursor: args.cursor, limit: Some(args.limit) }).await?;
    if context.is_json() {
        talk::json(&page)?;
    } else {
        show(&page, context)?;
    }
    Ok(Exit::Done)
}

fn show(page: &Page<RunSummary>, context: &Context) -> Result<()> {
    if page.items.is_empty() {
        talk::say("no run fits; start one with `polos run NAME`");
        return Ok(());
    }
    talk::data(&context.table(&table(&page.items, moment::now())))?;
    if let Some(cursor) = &page.next_cursor {
        talk::say(&format!("there are more: add `--cursor {cursor}`"));
    }
    Ok(())
}

fn table(runs: &[RunSummary], now: Millis) -> Table {
    let mut table = Table::new(&["RUN", "WORKFLOW", "STATE", "STARTED", "TOOK", "WHY"]);
    for run in runs {
        let until = run.ended_ms.unwrap_or(now);
        table.push(vec![
            run.id.to_string().into(),
            run.workflow.as_str().into(),
            Cell::toned(run.state.name(), story::tone_of(run.state)),
            moment::relative(run.created_ms, now).into(),
            moment::duration(until.saturating_sub(run.created_ms)).into(),
            // What the state says already is not said twice.
            Some(run.why.as_str()).filter(|why| *why != run.state.name()).unwrap_or("").into(),
        ]);
    }
    table
}
