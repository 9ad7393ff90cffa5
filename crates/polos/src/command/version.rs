//! `polos version`: this program's version, and the server's.

use crate::context::Context;
use crate::exit::Exit;
use crate::talk;
use anyhow::Result;
use polos_protocol::frame;

/// Print the version of this program, and of the server if one runs
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

pub(crate) async fn run(_: &Args, context: &Context) -> Result<Exit> {
    let own = env!("CARGO_PKG_VERSION");
    let server = match context.running_client().await {
        Ok(client) => client.version().await.ok(),
        Err(_) => None,
    };
    if context.is_json() {
        let [low, high] = frame::VERSIONS;
        talk::json(
            &serde_json::json!({ "version": own, "protocol": [low, high], "server": server }),
        )?;
        return Ok(Exit::Done);
    }
    talk::line(&format!("polos {own}"))?;
    if let Some(server) = server {
        let [low, high] = server.protocol;
        talk::line(&format!(
            "server {}, worker protocol {low} to {high}, schema {}, life {}",
            server.version, server.schema, server.incarnation
        ))?;
    }
    Ok(Exit::Done)
}
