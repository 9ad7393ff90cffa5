//! `polos workflows`: the workflows and tools that connected workers can run.

use super::definitions;
use crate::context::Context;
use crate::exit::Exit;
use crate::show::table::Table;
use anyhow::Result;
use clap::Subcommand;
use polos_protocol::DefinitionKind;
use polos_protocol::rest::DefinitionStatus;

/// List workflows and tools
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List the workflows and tools that connected workers can run
    List,
}

impl Command {
    pub(crate) async fn run(self, context: &Context) -> Result<Exit> {
        let Self::List = self;
        let client = context.client().await?;
        definitions::list(context, &client, |kind| kind != DefinitionKind::Agent, table).await?;
        Ok(Exit::Done)
    }
}

fn table(definitions: &[DefinitionStatus]) -> Table {
    let mut table = Table::new(&["NAME", "KIND", "WORKERS", "BUILDS", "ABOUT"]);
    for status in definitions {
        let definition = &status.definition;
        table.push(vec![
            definition.name.as_str().into(),
            definition.kind.name().into(),
            status.workers.to_string().into(),
            status.builds.join(" ").into(),
            definition.description.as_deref().unwrap_or_default().into(),
        ]);
    }
    table
}
