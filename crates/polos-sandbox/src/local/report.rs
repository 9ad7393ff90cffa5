//! What isolation a box has got.

use serde::{Deserialize, Serialize};

/// How well a box holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Level {
    /// No isolation.
    L0,
    /// Seccomp and resource limits.
    L1,
    /// Landlock and seccomp.
    L2,
    /// Namespaces, Landlock and seccomp.
    L3,
}

/// The isolation that is in force, part by part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    pub level: Level,
    pub namespaces: bool,
    /// The version of Landlock in force; 0 for none.
    pub landlock: u32,
    pub seccomp: bool,
    /// Limits held by control groups rather than by process limits.
    pub groups: Vec<String>,
    /// The user that commands run as, seen from the host.
    pub uid: u32,
    /// What is weaker than it could be, in sentences.
    pub notes: Vec<String>,
}

impl Report {
    /// That of a container, whose walls are the daemon's; what holds beneath them is up to its
    /// kernel, and asked for in any case.
    pub(crate) fn of_container(uid: u32) -> Self {
        Self {
            level: Level::L3,
            namespaces: true,
            landlock: super::sys::landlock_version(),
            seccomp: true,
            groups: ["pids", "memory", "cpu"].map(str::to_owned).to_vec(),
            uid,
            notes: Vec::new(),
        }
    }

    /// The level that follows from the parts.
    pub(crate) fn level_of(namespaces: bool, landlock: u32, seccomp: bool) -> Level {
        match (namespaces, landlock > 0, seccomp) {
            (true, true, true) => Level::L3,
            // Without the scope of signals a command could end the worker.
            (false, true, true) if landlock >= 6 => Level::L2,
            (_, _, true) => Level::L1,
            _ => Level::L0,
        }
    }
}
