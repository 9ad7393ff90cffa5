//! The commands, one file each. A command's doc comment is its help.

mod agents;
pub(crate) mod approvals;
mod backup;
mod completions;
mod definitions;
mod dev;
mod doctor;
mod events;
pub(crate) mod explain;
mod init;
pub(crate) mod inside;
mod keys;
pub(crate) mod policy;
mod queues;
mod reference;
mod replay;
mod run;
mod runs;
mod sandbox;
mod serve;
mod sessions;
mod version;
mod worker;
mod workers;
mod workflows;

use crate::context::Context;
use crate::demo;
use crate::exit::Exit;
use anyhow::Result;
use clap::Subcommand;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Demo(demo::Args),
    Init(init::Args),
    Dev(dev::Args),
    Run(run::Args),
    #[command(subcommand)]
    Runs(runs::Command),
    #[command(subcommand)]
    Approvals(approvals::Command),
    #[command(subcommand)]
    Events(events::Command),
    #[command(subcommand)]
    Agents(agents::Command),
    #[command(subcommand)]
    Workflows(workflows::Command),
    #[command(subcommand)]
    Sessions(sessions::Command),
    #[command(subcommand)]
    Workers(workers::Command),
    #[command(subcommand)]
    Queues(queues::Command),
    #[command(subcommand)]
    Keys(keys::Command),
    #[command(subcommand)]
    Sandbox(sandbox::Command),
    #[command(subcommand)]
    Policy(policy::Command),
    Serve(serve::Args),
    Worker(worker::Args),
    Replay(replay::Args),
    Backup(backup::Args),
    Doctor(doctor::Args),
    Explain(explain::Args),
    Completions(completions::Args),
    Version(version::Args),
    #[command(name = "__reference", hide = true)]
    Reference(reference::Args),
}

impl Command {
    /// Runs the command.
    pub(crate) async fn run(self, context: &Context) -> Result<Exit> {
        match self {
            Self::Demo(args) => Box::pin(demo::run(args, context)).await,
            Self::Init(args) => init::run(&args, context),
            Self::Dev(args) => Box::pin(dev::run(args, context)).await,
            Self::Run(args) => Box::pin(run::run(args, context)).await,
            Self::Runs(command) => Box::pin(command.run(context)).await,
            Self::Approvals(command) => command.run(context).await,
            Self::Events(command) => command.run(context).await,
            Self::Agents(command) => command.run(context).await,
            Self::Workflows(command) => command.run(context).await,
            Self::Sessions(command) => command.run(context).await,
            Self::Workers(command) => command.run(context).await,
            Self::Queues(command) => command.run(context).await,
            Self::Keys(command) => command.run(context).await,
            Self::Sandbox(command) => Box::pin(command.run(context)).await,
            Self::Policy(command) => command.run(context),
            Self::Serve(args) => Box::pin(serve::run(args, context)).await,
            Self::Worker(args) => Box::pin(worker::run(args, context)).await,
            Self::Replay(args) => Box::pin(replay::run(args, context)).await,
            Self::Backup(args) => backup::run(args, context).await,
            Self::Doctor(args) => doctor::run(&args, context).await,
            Self::Explain(args) => explain::run(&args),
            Self::Completions(args) => completions::run(&args),
            Self::Version(args) => version::run(&args, context).await,
            Self::Reference(args) => reference::run(&args),
        }
    }
}
