//! `polos runs resume`

use super::target::Target;
use crate::context::Context;
use crate::exit::Exit;
use anyhow::Result;
use polos_protocol::rest::{ResumeRequest, Verb};

/// Go on with blocked or failed runs, from the step that failed
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    target: Target,
    /// Accept the disagreement between code and journal that blocked the run
    #[arg(long)]
    accept: bool,
    /// Let an older build take it than the newest that recorded in it
    #[arg(long)]
    any_build: bool,
}

pub(crate) async fn run(args: Args, context: &Context) -> Result<Exit> {
    let verb = ResumeRequest { accept: args.accept, any_build: args.any_build };
    args.target.order(context, Verb::Resume(verb)).await
}
