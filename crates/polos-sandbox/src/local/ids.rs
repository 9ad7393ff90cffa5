//! Who commands run as: never root, and so that the workspace stays its owner's.
//!
//! A worker that is not root gives its boxes its own user. A root worker gives them the user it
//! was told, else the workspace's owner, else `nobody`. Where that user is not the owner, the
//! workspace is mounted with its owner mapped: what the box writes belongs to the owner.

use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use rustix::fs::{Mode, OFlags};
use rustix::process::{Pid, Signal, WaitOptions};

use super::sys;

/// The user and group in the box.
pub(crate) const INSIDE: u32 = 1000;
/// `nobody`, where there is no better user.
const NOBODY: u32 = 65_534;

/// A user and a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Owner {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

/// Who is who.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ids {
    pub(crate) caller_is_root: bool,
    /// The user of the box, seen from the host.
    pub(crate) host: Owner,
}

impl Ids {
    /// Chooses the user of a box for a workspace.
    pub(crate) fn choose(workspace: &Path, wanted: Option<u32>) -> io::Result<Self> {
        let caller = Owner {
            uid: rustix::process::geteuid().as_raw(),
            gid: rustix::process::getegid().as_raw(),
        };
        if caller.uid != 0 {
            return Ok(Self { caller_is_root: false, host: caller });
        }
        let owner = owner_of(workspace)?;
        Ok(Self { caller_is_root: true, host: choose_for_root(owner, wanted) })
    }

    /// The owner that must be mapped for the box to use these files as its own.
    pub(crate) fn foreign_owner(&self, path: &Path) -> io::Result<Option<Owner>> {
        let owner = owner_of(path)?;
        Ok((self.caller_is_root && owner.uid != self.host.uid).then_some(owner))
    }

    /// Lets a process that was cloned into a user namespace be the box's user there.
    pub(crate) fn write_maps(&self, pid: Pid) -> io::Result<()> {
        let proc = |file: &str| format!("/proc/{}/{file}", pid.as_raw_nonzero());
        if !self.caller_is_root {
            fs::write(proc("setgroups"), "deny")?;
        }
        fs::write(proc("uid_map"), format!("{INSIDE} {} 1", self.host.uid))?;
        fs::write(proc("gid_map"), format!("{INSIDE} {} 1", self.host.gid))
    }

    /// A user namespace that maps the owner to the box's user, for a mount of mapped owners.
    pub(crate) fn mapping_from(&self, owner: Owner) -> io::Result<OwnedFd> {
        let (read, write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
        let Some(pid) = sys::clone_process(libc::CLONE_NEWUSER)? else {
            drop(write);
            // Ends with the pipe, at the latest when the keeper does.
            let _ = rustix::io::read(&read, &mut [0_u8; 1]);
            loop {
                // Whoever waits for this process kills it.
                std::thread::park();
            }
        };
        drop(read);
        let mapped = self.map_and_open(pid, owner);
        let _ = rustix::process::kill_process(pid, Signal::KILL);
        let _ = rustix::process::waitpid(Some(pid), WaitOptions::empty());
        drop(write);
        mapped
    }

    fn map_and_open(&self, pid: Pid, owner: Owner) -> io::Result<OwnedFd> {
        let proc = |file: &str| format!("/proc/{}/{file}", pid.as_raw_nonzero());
        fs::write(proc("uid_map"), format!("{} {} 1", owner.uid, self.host.uid))?;
        fs::write(proc("gid_map"), format!("{} {} 1", owner.gid, self.host.gid))?;
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        Ok(rustix::fs::open(proc("ns/user"), flags, Mode::empty())?)
    }

    /// Gives a folder of ours to the box's user.
    pub(crate) fn give(&self, path: &Path) -> io::Result<()> {
        if !self.caller_is_root {
            return Ok(());
        }
        std::os::unix::fs::lchown(path, Some(self.host.uid), Some(self.host.gid))
    }
}

fn owner_of(path: &Path) -> io::Result<Owner> {
    let metadata = fs::metadata(path)?;
    Ok(Owner { uid: metadata.uid(), gid: metadata.gid() })
}

fn choose_for_root(owner: Owner, wanted: Option<u32>) -> Owner {
    let uid = wanted.filter(|uid| *uid != 0).or(Some(owner.uid)).filter(|uid| *uid != 0);
    let uid = uid.unwrap_or(NOBODY);
    let gid = if uid == owner.uid && owner.gid != 0 { owner.gid } else { uid };
    Owner { uid, gid }
}

/// Becomes the box's user within its user namespace, and keeps the capabilities held there.
pub(crate) fn become_inside(caller_is_root: bool) -> io::Result<()> {
    become_owner(Owner { uid: INSIDE, gid: INSIDE }, caller_is_root)
}

/// Becomes another user.
pub(crate) fn become_owner(owner: Owner, drop_groups: bool) -> io::Result<()> {
    rustix::thread::set_keep_capabilities(true)?;
    if drop_groups {
        rustix::thread::set_thread_groups(&[])?;
    }
    let gid = rustix::fs::Gid::from_raw(owner.gid);
    let uid = rustix::fs::Uid::from_raw(owner.uid);
    rustix::thread::set_thread_res_gid(gid, gid, gid)?;
    rustix::thread::set_thread_res_uid(uid, uid, uid)?;
    Ok(())
}

/// Whether a descriptor's file can be mounted with mapped owners is only known by trying.
pub(crate) fn map_owners(mount: &OwnedFd, namespace: &OwnedFd) -> io::Result<()> {
    sys::map_mount_owners(mount.as_fd(), namespace.as_fd())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_is_never_chosen() {
        let choose = |uid, gid, wanted| {
            let owner = choose_for_root(Owner { uid, gid }, wanted);
            (owner.uid, owner.gid)
        };
        assert_eq!(choose(0, 0, None), (NOBODY, NOBODY));
        assert_eq!(choose(0, 0, Some(0)), (NOBODY, NOBODY));
        assert_eq!(choose(0, 0, Some(1001)), (1001, 1001));
        assert_eq!(choose(1000, 100, None), (1000, 100));
        assert_eq!(choose(1000, 0, None), (1000, 1000));
        assert_eq!(choose(1000, 100, Some(7)), (7, 7));
    }
}
