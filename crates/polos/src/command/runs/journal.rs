//! `polos runs journal`: the records as they are, one JSON a line.

use crate::context::Context;
use crate::exit::Exit;
use crate::talk;
use anyhow::Result;
use polos_protocol::RunId;

/// How many records one request asks for.
const PAGE_RECORDS: u32 = 500;

/// Print a run's journal, one JSON record a line, oldest first
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The run
    run: RunId,
    /// Begin after this sequence number
    #[arg(long, value_name = "SEQ", default_value_t = 0)]
    after: u64,
}

pub(crate) async fn run(args: Args, context: &Context) -> Result<Exit> {
    let client = context.client().await?;
    let mut after = args.after;
    loop {
        let page = client.journal(args.run, after, Some(PAGE_RECORDS)).await?;
        for entry in &page.records {
            talk::json(entry)?;
        }
        match page.next_after {
            Some(next) => after = next,
            None => return Ok(Exit::Done),
        }
    }
}
