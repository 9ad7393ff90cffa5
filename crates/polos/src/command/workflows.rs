//! `polos workflows`: the workflows and tools that connected workers can run.

use super::definitions;
use crate::context::Context;
use crate::exit::Exit;
use anyhow::Result;
use clap::Subcommand;
use polos_protocol::DefinitionKind;

/// List workflows and tools
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List the workflows and tools that connected workers can run
    List,
}

impl Command {
    pub(crate) async fn run(self, context: &Context) -> Result<Exit> {
        let Self::List = self;
        definitions::list(context, |kind| kind != DefinitionKind::Agent, "workflow").await
    }
}
