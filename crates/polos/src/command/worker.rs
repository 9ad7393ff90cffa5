//! `polos worker`: the native worker as a process of its own.

use crate::context::Context;
use crate::exit::Exit;
use crate::native::{self, Native};
use crate::project::Project;
use crate::{host, log, talk};
use anyhow::Result;
use polos_agent::guest::Trust;
use std::path::PathBuf;

/// Run the native worker: it takes the runs of agents from a server
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The folder of agent files; by default `agents` of the project
    #[arg(long, value_name = "DIR")]
    agents: Option<PathBuf>,
    /// A name for people; by default the machine's
    #[arg(long)]
    name: Option<String>,
    /// Take so many runs at once, not counting those that wait
    #[arg(long, value_name = "N", default_value_t = polos_sdk::worker::SLOTS)]
    slots: u32,
    /// Let agents that SDKs declare reach this machine: directories, paths and scripts on it, and
    /// commands without isolation. Whoever may start runs can declare one
    #[arg(long)]
    trust_declared_agents: bool,
    /// Log in this form; `POLOS_LOG` says what
    #[arg(long, value_enum, default_value = "text")]
    log: log::Format,
}

pub(crate) async fn run(args: Args, context: &Context) -> Result<Exit> {
    log::start(args.log, "info");
    let server = context.server().await?;
    let agents = match args.agents {
        Some(agents) => agents,
        None => Project::find(&std::env::current_dir()?)?.agents(),
    };
    let trust = if args.trust_declared_agents { Trust::Owner } else { Trust::Boxed };
    let client = context.running_client().await?;
    let native = Native::new(agents, context.data_dir()?, client).trusts(trust);
    let mut builder = native.builder()?.server(&server.url).token(&server.token).slots(args.slots);
    if let Some(name) = args.name {
        builder = builder.name(name);
    }
    let worker = builder.build().map_err(|error| native::worker_problem(&error))?;
    let handle = worker.handle();
    talk::say(&format!("worker {} for {}", handle.id(), server.url));
    tokio::select! {
        ended = worker.run_until(host::asked_to_end()) => {
            ended.map_err(|error| native::worker_problem(&error))?;
        }
        () = native.tend() => {}
    }
    native.end().await;
    Ok(Exit::Done)
}
