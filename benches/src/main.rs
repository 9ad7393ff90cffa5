//! Benchmarks of Polos: `cargo xtask bench core`. Server and worker run as processes of their own,
//! every measurement is bounded in count and in time, and each figure is printed beside its aim and
//! beside what the machine itself can do in the same minutes.
//!
//! Reading order: [`core`] is the list of measurements; `bench` starts and stops the processes;
//! `worker` and `server` are what runs in them; `figure` prints.

mod bench;
mod clock;
mod core;
mod disk;
mod figure;
mod process;
mod server;
mod worker;

use clap::{Parser, Subcommand};

/// Measure Polos on this machine
#[derive(Debug, Parser)]
#[command(name = "polos-bench", disable_help_subcommand = true)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Core(core::Args),
    #[command(hide = true)]
    Server(server::Args),
    #[command(hide = true)]
    Worker(worker::Args),
}

fn main() -> anyhow::Result<()> {
    match Args::parse().command {
        Command::Core(args) => core::run(args),
        Command::Server(args) => server::run(args),
        Command::Worker(args) => worker::run(args),
    }
}
