//! The first process of a box: the toolbox, and the supervisors that it starts.
//!
//! Neither can be looked into by the commands, which run as the same user: without that their
//! descriptors would lead out of the view that the commands have. And each command is locked once
//! more before it is executed: it can read the toolbox's records, and not change them.

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Duration;

use polos_toolbox::files::Mount;
use polos_toolbox::{program, server};
use rustix::fs::{Mode, OFlags};
use rustix::process::DumpableBehavior;
use serde::{Deserialize, Serialize};

use crate::config::Network;

use super::landlock::{Grant, Rules};
use super::{seccomp, sys};

/// The workspace as the tools call it, wherever it is.
const WORKSPACE: &str = "/workspace";
/// What the toolbox is started with.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Options {
    pub(crate) workspace: PathBuf,
    pub(crate) state: PathBuf,
    pub(crate) read_paths: Vec<PathBuf>,
    pub(crate) grace_ms: u64,
    /// What commands may do where; absent without isolation.
    pub(crate) lock: Option<Lock>,
}

/// The rules for each command.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Lock {
    pub(crate) network: Network,
    pub(crate) granted: Vec<(PathBuf, Grant)>,
}

/// What the commands of this supervisor are locked with.
static LOCK: OnceLock<Locked> = OnceLock::new();

#[derive(Debug)]
struct Locked {
    rules: Option<Rules>,
    filter: Vec<libc::sock_filter>,
}

/// Serves as the toolbox until the grace is over.
pub(crate) fn serve(options: &str) -> Result<(), String> {
    hide()?;
    let options: Options = serde_json::from_str(options).map_err(|error| error.to_string())?;
    let itself =
        |path: &PathBuf| Mount { name: path.to_string_lossy().into_owned(), disk: path.clone() };
    let lock = serde_json::to_string(&options.lock).map_err(|error| error.to_string())?;
    server::serve(server::Options {
        ledger: Some(options.state.join("ledger")),
        state: options.state,
        workspace: Mount { name: WORKSPACE.to_owned(), disk: options.workspace },
        read_paths: options.read_paths.iter().map(itself).collect(),
        // Guards and covers are mounts.
        cross_mounts: true,
        grace: Duration::from_millis(options.grace_ms),
        supervisor: [super::SUBCOMMAND, "supervise", &lock].map(OsString::from).to_vec(),
    })
    .map_err(|error| error.to_string())
}

/// Supervises one command.
pub(crate) fn supervise(lock: &str) -> Result<(), String> {
    let lock: Option<Lock> = serde_json::from_str(lock).map_err(|error| error.to_string())?;
    if lock.is_some() {
        // A process that is hidden may not say so any more; the command inherits it.
        be_killed_first();
    }
    hide()?;
    if let Some(lock) = lock {
        let rules = make_rules(&lock).map_err(|error| format!("Landlock: {error}"))?;
        // It is set here only.
        let _ = LOCK.set(Locked { rules, filter: seccomp::for_commands() });
    }
    program::supervise(before_command).map_err(|error| error.to_string())
}

fn make_rules(lock: &Lock) -> io::Result<Option<Rules>> {
    let Some(rules) = Rules::new(lock.network)? else { return Ok(None) };
    for (path, grant) in &lock.granted {
        rules.allow(path, *grant)?;
    }
    Ok(Some(rules))
}

/// Runs in the new process of a command, where nothing but system calls is allowed.
fn before_command() -> io::Result<()> {
    let Some(locked) = LOCK.get() else { return Ok(()) };
    if let Some(rules) = &locked.rules {
        rules.restrict()?;
    }
    sys::seccomp(&locked.filter)
}

/// When memory runs out, commands go before the toolbox; where that cannot be said, the kernel
/// takes the largest.
fn be_killed_first() {
    let flags = OFlags::WRONLY | OFlags::CLOEXEC;
    if let Ok(file) = rustix::fs::open(c"/proc/self/oom_score_adj", flags, Mode::empty()) {
        let _ = rustix::io::write(file, b"500");
    }
}

fn hide() -> Result<(), String> {
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)
        .map_err(|errno| format!("this process cannot be hidden: {errno}"))
}
