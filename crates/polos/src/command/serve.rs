//! `polos serve`: the server alone.

use crate::context::Context;
use crate::exit::Exit;
use crate::show::moment;
use crate::{host, log, talk};
use anyhow::Result;
use polos_server::serve::{LISTEN, Options};
use std::time::Duration;

/// Run a server; workers connect to it
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Listen on this address; port 0 takes any free one
    #[arg(long, value_name = "IP:PORT", default_value = LISTEN, env = "POLOS_LISTEN")]
    listen: String,
    /// Answer to this name too, besides loopback names; may be repeated
    #[arg(long, value_name = "NAME")]
    host: Vec<String>,
    /// Keep ended runs for so long
    #[arg(long, value_name = "DURATION", default_value = "30d", value_parser = moment::parse_duration)]
    keep: u64,
    /// Log in this form; `POLOS_LOG` says what
    #[arg(long, value_enum, default_value = "text")]
    log: log::Format,
}

pub(crate) async fn run(args: Args, context: &Context) -> Result<Exit> {
    log::start(args.log, "info");
    let mut options = Options::new(context.data_dir()?);
    options.listen = args.listen;
    options.hosts = args.host;
    options.keep = Duration::from_millis(args.keep);
    let directory = options.data_directory.display().to_string();
    let server = host::start(options).await?;
    if context.is_json() {
        talk::json(&serde_json::json!({ "url": server.url(), "data_directory": directory }))?;
    } else {
        talk::say(&format!("serving {directory} at {}", server.url()));
    }
    server.run(host::asked_to_end()).await?;
    Ok(Exit::Done)
}
