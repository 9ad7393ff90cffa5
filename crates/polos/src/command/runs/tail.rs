//! `polos runs tail`: a run, live.

use crate::context::Context;
use crate::exit::Exit;
use crate::watch::{self, Manner};
use anyhow::Result;
use polos_protocol::RunId;

/// Follow a run and the runs that it starts, until it ends or is blocked
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The run
    run: RunId,
    /// Ask here what the run asks of people
    #[arg(long)]
    ask: bool,
}

pub(crate) async fn run(args: Args, context: &Context) -> Result<Exit> {
    let manner = Manner { tells: true, asks: args.ask };
    Ok(watch::follow(context, args.run, manner).await?.exit())
}
