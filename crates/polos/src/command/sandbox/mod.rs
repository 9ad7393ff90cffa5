//! `polos sandbox`: a box by hand, for people and scripts.

mod open;
mod run;
mod tool;

use crate::context::Context;
use crate::exit::Exit;
use anyhow::Result;
use clap::Subcommand;

/// Run commands and tools in a box
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Run(run::Args),
    Tool(tool::Args),
}

impl Command {
    pub(crate) async fn run(self, context: &Context) -> Result<Exit> {
        match self {
            Self::Run(args) => Box::pin(run::run(args, context)).await,
            Self::Tool(args) => Box::pin(tool::run(args, context)).await,
        }
    }
}
