//! `polos runs tail`: a run, live.

use crate::context::Context;
use crate::crew::Wanted;
use crate::exit::Exit;
use crate::watch::{self, Manner};
use anyhow::Result;
use polos_protocol::RunId;

/// Follow a run and the runs that it starts, until it ends or is blocked
///
/// Where no server runs, this process is one, with the workers of the project, so that the run goes
/// on where it was.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The run
    run: RunId,
    /// Ask here what the run asks of people
    #[arg(long)]
    ask: bool,
}

pub(crate) async fn run(args: Args, context: &Context) -> Result<Exit> {
    let client = context.client_with_crew(Wanted::All).await?;
    let manner = Manner { tells: true, asks: args.ask };
    Ok(watch::follow(context, &client, args.run, manner).await?.exit())
}
