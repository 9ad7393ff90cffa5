//! Landlock: the second lock on files, and on signals and abstract sockets across the box's wall.
//!
//! The mounts decide what is seen; this says the same once more, by rules that no mount undoes.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{Mode, OFlags};
use serde::{Deserialize, Serialize};

use crate::config::Network;

use super::sys::{self, LandlockRuleset};

// Rights on files, with the version that knows them.
const EXECUTE: u64 = 1;
const WRITE_FILE: u64 = 1 << 1;
const READ_FILE: u64 = 1 << 2;
const READ_DIR: u64 = 1 << 3;
const TRUNCATE: u64 = 1 << 14;
const IOCTL_DEV: u64 = 1 << 15;
const READ: u64 = EXECUTE | READ_FILE | READ_DIR;
/// Those that make sense for something that is not a folder.
const FILE_RIGHTS: u64 = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | IOCTL_DEV;

/// The newest version whose rights are known here.
const KNOWN_MAX: u32 = 6;

/// What a rule grants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Grant {
    Read,
    Write,
}

/// A set of rules that is being made.
#[derive(Debug)]
pub(crate) struct Rules {
    ruleset: OwnedFd,
    handled: u64,
    version: u32,
}

impl Rules {
    /// Starts a set; `None` where the kernel has no Landlock.
    pub(crate) fn new(network: Network) -> io::Result<Option<Self>> {
        let version = sys::landlock_version();
        if version == 0 {
            return Ok(None);
        }
        let handled = match version {
            1 => (1 << 13) - 1,
            2 => (1 << 14) - 1,
            3 | 4 => (1 << 15) - 1,
            _ => (1 << 16) - 1,
        };
        let tcp = if version >= 4 && network == Network::None { 0b11 } else { 0 };
        let scoped = if version >= 6 { 0b11 } else { 0 };
        let bytes = match version.min(KNOWN_MAX) {
            1..=3 => 8,
            4 | 5 => 16,
            _ => 24,
        };
        let attributes = LandlockRuleset { files: handled, network: tcp, scoped };
        let ruleset = sys::landlock_create(attributes, bytes)?;
        Ok(Some(Self { ruleset, handled, version }))
    }

    pub(crate) fn version(&self) -> u32 {
        self.version
    }

    /// Grants access beneath a path; what does not exist needs no rule.
    pub(crate) fn allow(&self, path: &Path, grant: Grant) -> io::Result<()> {
        match rustix::fs::open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()) {
            Ok(fd) => self.allow_fd(fd.as_fd(), grant),
            Err(rustix::io::Errno::NOENT) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }

    pub(crate) fn allow_fd(&self, fd: std::os::fd::BorrowedFd<'_>, grant: Grant) -> io::Result<()> {
        let is_folder = {
            let stat = rustix::fs::fstat(fd)?;
            rustix::fs::FileType::from_raw_mode(stat.st_mode).is_dir()
        };
        let mut rights = match grant {
            Grant::Read => READ,
            Grant::Write => self.handled,
        };
        if !is_folder {
            rights &= FILE_RIGHTS;
        }
        sys::landlock_allow(self.ruleset.as_fd(), fd, rights & self.handled)
    }

    /// Puts this process, and all it will start, under the rules.
    pub(crate) fn restrict(&self) -> io::Result<()> {
        sys::landlock_restrict(self.ruleset.as_fd())
    }
}
