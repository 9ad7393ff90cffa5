//! `polos replay`: a stored journal against this build, dry.

use crate::context::Context;
use crate::exit::{Exit, Problem};
use anyhow::Result;
use polos_protocol::RunId;

/// Check a run's journal against the code of this build, without doing anything
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The run
    run: RunId,
}

pub(crate) fn run(args: &Args, _: &Context) -> Result<Exit> {
    Err(Problem::new(
        "not_supported",
        format!("`{}` cannot be replayed: this build has no dry replay yet", args.run),
        "",
    ))
}
