//! The first process of a box: the toolbox, and the supervisors that it starts.
//!
//! Neither can be looked into by the commands, which run as the same user: without that their
//! descriptors would lead out of the view that the commands have. And each command is locked once
//! more before it is executed: it can read the toolbox's records, and not change them.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use polos_toolbox::files::Mount;
use polos_toolbox::server::Peers;
use polos_toolbox::{program, server};
use rustix::fs::{Mode, OFlags};
use rustix::process::DumpableBehavior;
use serde::{Deserialize, Serialize};

use crate::config::Network;
use crate::docker;

use super::landlock::{Grant, Rules};
use super::{seccomp, sys};

/// The workspace as the tools call it, wherever it is.
const WORKSPACE: &str = "/workspace";
/// How long the toolbox of a container may take to come up, and the pause between two looks.
const ATTACH_MAX: Duration = Duration::from_secs(10);
const ATTACH_PAUSE: Duration = Duration::from_millis(10);

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
        socket: None,
        peers: Peers::Any,
        supervisor: [super::SUBCOMMAND, "supervise", &lock].map(OsString::from).to_vec(),
    })
    .map_err(|error| error.to_string())
}

/// What the first process of a container is started with.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ContainerOptions {
    pub(crate) network: Network,
    /// Whether the image's own files stay as they are.
    pub(crate) read_only: bool,
    pub(crate) read_paths: Vec<PathBuf>,
    pub(crate) write_paths: Vec<PathBuf>,
    pub(crate) grace_ms: u64,
}

/// Locks itself within a container, and serves as the toolbox until the grace is over.
pub(crate) fn contain(options: &str) -> Result<(), String> {
    hide()?;
    let options: ContainerOptions =
        serde_json::from_str(options).map_err(|error| error.to_string())?;
    let lock = Lock { network: options.network, granted: granted(&options) };
    rustix::thread::set_no_new_privs(true).map_err(|errno| errno.to_string())?;
    restrict(&lock).map_err(|error| format!("Landlock: {error}"))?;
    seccomp::install(options.network).map_err(|error| format!("seccomp: {error}"))?;
    let lock = serde_json::to_string(&Some(lock)).map_err(|error| error.to_string())?;
    let itself =
        |path: &PathBuf| Mount { name: path.to_string_lossy().into_owned(), disk: path.clone() };
    let state = PathBuf::from(docker::STATE);
    server::serve(server::Options {
        ledger: Some(state.join("ledger")),
        state,
        workspace: Mount { name: WORKSPACE.to_owned(), disk: WORKSPACE.into() },
        read_paths: options.read_paths.iter().chain(&options.write_paths).map(itself).collect(),
        cross_mounts: true,
        grace: Duration::from_millis(options.grace_ms),
        socket: Some(PathBuf::from(docker::RUN).join("toolbox.sock")),
        peers: Peers::Root,
        supervisor: [super::SUBCOMMAND, "supervise", &lock].map(OsString::from).to_vec(),
    })
    .map_err(|error| error.to_string())
}

/// What commands may do where in a container: its walls are the first lock, this is the second.
fn granted(options: &ContainerOptions) -> Vec<(PathBuf, Grant)> {
    let write = [WORKSPACE, "/tmp", "/run", "/home/agent", "/dev"].map(PathBuf::from);
    let mut granted = vec![(PathBuf::from("/"), Grant::Read)];
    granted.extend(write.into_iter().map(|path| (path, Grant::Write)));
    granted.extend(options.write_paths.iter().map(|path| (path.clone(), Grant::Write)));
    if !options.read_only {
        let entries = std::fs::read_dir("/").into_iter().flatten().flatten();
        let own = entries.filter(|entry| {
            !["proc", "sys", ".polos"].iter().any(|name| entry.file_name() == *name)
        });
        granted.extend(own.map(|entry| (entry.path(), Grant::Write)));
    }
    granted
}

/// The rules for the toolbox itself, which writes its records too.
fn restrict(lock: &Lock) -> io::Result<()> {
    let Some(rules) = make_rules(lock)? else { return Ok(()) };
    for path in [docker::STATE, docker::RUN, "/proc"] {
        rules.allow(Path::new(path), Grant::Write)?;
    }
    rules.restrict()
}

/// Connects a worker to the toolbox of this container, which may still be on its way up.
pub(crate) fn attach(folder: &str) -> Result<(), String> {
    let until = Instant::now() + ATTACH_MAX;
    loop {
        match server::attach(Path::new(folder)) {
            Err(error) if Instant::now() > until => return Err(error.to_string()),
            Err(_) => std::thread::sleep(ATTACH_PAUSE),
            Ok(()) => return Ok(()),
        }
    }
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
