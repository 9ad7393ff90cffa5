//! Watches the mounts of a box from outside.
//!
//! Guards and covers are mounts, and nothing in a box can mount or unmount. But when somebody on
//! the host replaces or removes the file beneath a mount (`git config` writes a new file and
//! renames it), the kernel takes the mount away, and the box would see the file itself, unguarded.
//! Such a box is ended at once; the next opening guards what is there then.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read as _, Seek as _};
use std::os::fd::OwnedFd;

use rustix::event::{PollFd, PollFlags};
use rustix::process::{Pid, PidfdFlags};

/// The mounts of a box as they must stay.
#[derive(Debug)]
pub(crate) struct Watch {
    process: OwnedFd,
    mounts: File,
    before: BTreeSet<String>,
}

impl Watch {
    /// Notes the mounts of a process; to be called before it runs anything of others.
    pub(crate) fn begin(first: Pid) -> io::Result<Self> {
        let process = rustix::process::pidfd_open(first, PidfdFlags::empty())?;
        let mut mounts = File::open(format!("/proc/{}/mountinfo", first.as_raw_nonzero()))?;
        let before = ids(&mut mounts)?;
        Ok(Self { process, mounts, before })
    }

    /// Returns when the process has ended; an error says that its mounts have changed.
    pub(crate) fn until_end_or_change(mut self) -> io::Result<()> {
        loop {
            let mut fds = [
                PollFd::new(&self.process, PollFlags::IN),
                PollFd::new(&self.mounts, PollFlags::PRI),
            ];
            match rustix::event::poll(&mut fds, None) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
            let [ended, changed] = fds.map(|fd| !fd.revents().is_empty());
            if ended {
                return Ok(());
            }
            if changed && !ids(&mut self.mounts)?.is_superset(&self.before) {
                let why = "a protected file was replaced on the host, and with it its protection";
                return Err(io::Error::other(why));
            }
        }
    }
}

/// The numbers of all mounts, the first word of each line.
fn ids(mounts: &mut File) -> io::Result<BTreeSet<String>> {
    let mut text = String::new();
    mounts.rewind()?;
    mounts.read_to_string(&mut text)?;
    Ok(text.lines().filter_map(|line| line.split(' ').next()).map(str::to_owned).collect())
}
