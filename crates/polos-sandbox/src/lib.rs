//! Boxes that hold: policy, isolation and environments.
//!
//! [`policy`] decides, in the worker, what runs without a person; a [`Sandbox`] is where it runs.
//! The kernel isolates the box; a policy is consent, never containment, and both always hold.
//! Nothing here is durable and nothing here talks to a server.
//!
//! A program that opens local boxes calls [`run_if_asked`] first thing: the box is made by the
//! same program, executed again.

use std::process::ExitCode;

pub mod config;
mod docker;
mod local;
pub mod policy;
mod sandbox;
mod spec;

/// What is said to a box: requests, replies and what the model is told of the tools.
pub use polos_toolbox as toolbox;

pub use docker::Error as DockerError;
pub use local::probe::{Finding, Probe, probe};
pub use local::report::{Level, Report};
pub use sandbox::{Error, Executed, OpenError, Sandbox, stop_by_folder};
pub use spec::{Error as SpecError, SandboxSpec};

/// Becomes a part of a box if this process was started as one; otherwise gives `None` at once.
///
/// To be called before any thread is started: a box is a clone of this process.
pub fn run_if_asked() -> Option<ExitCode> {
    let mut arguments = std::env::args().skip(1);
    if arguments.next()? != local::SUBCOMMAND {
        return None;
    }
    Some(local::keeper::main(&arguments.collect::<Vec<_>>()))
}

/// Bytes as lower-case hex.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
