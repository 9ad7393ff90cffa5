//! `polos runs cancel`

use super::target::Target;
use crate::context::Context;
use crate::exit::Exit;
use anyhow::Result;
use polos_protocol::rest::{CancelRequest, Verb};

/// Cancel runs: their code may clean up, for a bounded time
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    target: Target,
    /// Why, for the journal
    #[arg(long)]
    reason: Option<String>,
}

pub(crate) async fn run(args: Args, context: &Context) -> Result<Exit> {
    let verb = Verb::Cancel(CancelRequest { reason: args.reason });
    args.target.order(context, verb).await
}
