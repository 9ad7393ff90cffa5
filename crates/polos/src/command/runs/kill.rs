//! `polos runs kill`

use super::target::Target;
use crate::context::Context;
use crate::exit::Exit;
use anyhow::Result;
use polos_protocol::rest::{CancelRequest, Verb};

/// End runs at once, without running any of their code
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    target: Target,
    /// Why, for the journal
    #[arg(long)]
    reason: Option<String>,
}

pub(crate) async fn run(args: Args, context: &Context) -> Result<Exit> {
    let verb = Verb::Kill(CancelRequest { reason: args.reason });
    args.target.order(context, verb).await
}
