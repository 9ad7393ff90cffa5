//! `polos events`: publish to a topic, or signal one run.

use crate::context::Context;
use crate::exit::Exit;
use crate::{input, talk};
use anyhow::Result;
use clap::Subcommand;
use polos_protocol::RunId;
use polos_protocol::rest::PublishRequest;

/// Publish events
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Publish(Publish),
}

/// Publish an event on a topic, or send a signal to one run
#[derive(Debug, clap::Args)]
pub(crate) struct Publish {
    /// The topic
    topic: String,
    /// What it carries: JSON, `@FILE`, or `-` for standard input
    #[arg(value_name = "JSON")]
    payload: Option<String>,
    /// Send it to this run only
    #[arg(long)]
    run: Option<RunId>,
    /// Publish once under this key, however often it is asked for
    #[arg(long)]
    key: Option<String>,
}

impl Command {
    pub(crate) async fn run(self, context: &Context) -> Result<Exit> {
        let Self::Publish(args) = self;
        let payload = input::json_if(args.payload.as_deref())?.unwrap_or_default();
        let request = PublishRequest { topic: args.topic, payload, run: args.run, key: args.key };
        let response = context.client().await?.publish(&request).await?;
        if context.is_json() {
            talk::json(&response)?;
        } else {
            let again = if response.existing { " (it was published before)" } else { "" };
            talk::line(&format!("{} at position {}{again}", response.id, response.position))?;
        }
        Ok(Exit::Done)
    }
}
