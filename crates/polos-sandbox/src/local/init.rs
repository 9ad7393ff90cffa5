//! The first process of a box: the toolbox, and the supervisors that it starts.
//!
//! Neither can be looked into by the commands, which run as the same user: without that their
//! descriptors would lead out of the view that the commands have.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use polos_toolbox::files::Mount;
use polos_toolbox::{program, server};
use rustix::process::DumpableBehavior;
use serde::{Deserialize, Serialize};

/// The workspace as the tools call it, wherever it is.
const WORKSPACE: &str = "/workspace";
/// What a supervisor is told by the toolbox's own program.
const SUPERVISE: &str = "supervise-command";

/// What the toolbox is started with.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Options {
    pub(crate) workspace: PathBuf,
    pub(crate) state: PathBuf,
    pub(crate) read_paths: Vec<PathBuf>,
    pub(crate) grace_ms: u64,
}

/// Serves as the toolbox until the grace is over.
pub(crate) fn serve(options: &str) -> Result<(), String> {
    hide()?;
    let options: Options = serde_json::from_str(options).map_err(|error| error.to_string())?;
    let itself =
        |path: &PathBuf| Mount { name: path.to_string_lossy().into_owned(), disk: path.clone() };
    server::serve(server::Options {
        ledger: Some(options.state.join("ledger")),
        state: options.state,
        workspace: Mount { name: WORKSPACE.to_owned(), disk: options.workspace },
        read_paths: options.read_paths.iter().map(itself).collect(),
        // Guards and covers are mounts.
        cross_mounts: true,
        grace: Duration::from_millis(options.grace_ms),
        supervisor: [super::SUBCOMMAND, "supervise"].map(OsString::from).to_vec(),
    })
    .map_err(|error| error.to_string())
}

/// Supervises one command.
pub(crate) fn supervise() -> Result<ExitCode, String> {
    hide()?;
    Ok(program::main(&[], [OsString::from(SUPERVISE)]))
}

fn hide() -> Result<(), String> {
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)
        .map_err(|errno| format!("this process cannot be hidden: {errno}"))
}
