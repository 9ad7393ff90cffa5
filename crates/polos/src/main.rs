//! One binary: server, worker, agents and the command line. It parses, wires and prints; what it
//! wires together stands in the other crates.

mod changed;
mod cli;
mod command;
mod context;
mod crew;
mod demo;
mod embedded;
mod exit;
mod host;
mod input;
mod log;
mod native;
mod own;
mod project;
mod prompt;
mod show;
mod story;
mod talk;
mod watch;

use std::process::ExitCode;

fn main() -> ExitCode {
    // A process that is entered inside a box must not have started threads.
    if let Some(code) = command::inside::enter() {
        return code;
    }
    cli::main()
}
