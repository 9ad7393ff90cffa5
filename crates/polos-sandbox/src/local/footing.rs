//! What guards stand on: a mount needs something to be mounted over, so where nothing is, a folder
//! or a file is made on the host, and the file is taken away when the box ends.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;

use rustix::fs::{Mode, OFlags};

use super::mounts;
use super::order::{Bind, GuardKind};

/// What is made where a guard needs something to stand on.
#[derive(Debug, Clone, Copy)]
enum Missing<'a> {
    Folder,
    File(&'a str),
}

/// A file that was made, held so that nothing else is ever taken for it.
#[derive(Debug)]
pub(crate) struct Made {
    /// The folder it lies in, wherever that has gone since.
    folder: OwnedFd,
    name: OsString,
    file: OwnedFd,
}

impl Made {
    /// Takes the file away, if it still is the one that was made.
    pub(crate) fn remove(self) {
        let flags = rustix::fs::AtFlags::SYMLINK_NOFOLLOW;
        let Ok(ours) = rustix::fs::fstat(&self.file) else { return };
        let Ok(found) = rustix::fs::statat(&self.folder, &self.name, flags) else { return };
        if (ours.st_dev, ours.st_ino) == (found.st_dev, found.st_ino) {
            let _ = rustix::fs::unlinkat(&self.folder, &self.name, rustix::fs::AtFlags::empty());
        }
    }
}

/// Makes what guards need to stand on; gives the files to take away at the end.
pub(crate) fn make(binds: &[Bind]) -> io::Result<Vec<Made>> {
    let mut made = Vec::new();
    for bind in binds {
        for guard in &bind.guards {
            let missing = match &guard.kind {
                GuardKind::Pinned | GuardKind::ReadOnly => continue,
                GuardKind::ReadOnlyFolder => Missing::Folder,
                GuardKind::ReadOnlyFile { content } => Missing::File(content),
            };
            made.extend(make_one(bind, &guard.path, missing)?);
        }
    }
    Ok(made)
}

/// Makes one thing where nothing is, following no link; it belongs to whoever owns its folder.
/// Gives it if it is to be taken away.
fn make_one(bind: &Bind, path: &Path, missing: Missing<'_>) -> io::Result<Option<Made>> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { return Ok(None) };
    let root = mounts::folder(&bind.source)?;
    let Ok(folder) = mounts::beneath(root.as_fd(), parent) else { return Ok(None) };
    let made = match missing {
        Missing::Folder => {
            rustix::fs::mkdirat(&folder, name, Mode::from_raw_mode(0o755)).map(|()| None)
        }
        Missing::File(_) => {
            let flags =
                OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            rustix::fs::openat(&folder, name, flags, Mode::from_raw_mode(0o644)).map(Some)
        }
    };
    let file = match made {
        Ok(file) => {
            give_to_owner_of(&folder, name)?;
            file
        }
        Err(rustix::io::Errno::EXIST) => left_over(&folder, name, missing),
        Err(rustix::io::Errno::NOTDIR) => None,
        Err(errno) => return Err(errno.into()),
    };
    let Some(file) = file else { return Ok(None) };
    if let Missing::File(content) = missing {
        let mut file = File::from(file.try_clone()?);
        // One that was left over has it already, and is open for reading.
        let _ = file.write_all(content.as_bytes());
    }
    Ok(Some(Made { folder, name: name.to_owned(), file }))
}

/// The file that a keeper which was killed has made, to be taken away by us.
fn left_over(folder: &OwnedFd, name: &OsStr, missing: Missing<'_>) -> Option<OwnedFd> {
    let Missing::File(content) = missing else { return None };
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = rustix::fs::openat(folder, name, flags, Mode::empty()).ok()?;
    let mut found = String::new();
    File::from(file.try_clone().ok()?).take(1024).read_to_string(&mut found).ok()?;
    (!content.is_empty() && found == content).then_some(file)
}

fn give_to_owner_of(parent: &OwnedFd, name: &OsStr) -> io::Result<()> {
    if !rustix::process::geteuid().is_root() {
        return Ok(());
    }
    let owner = rustix::fs::fstat(parent)?;
    let uid = Some(rustix::fs::Uid::from_raw(owner.st_uid));
    let gid = Some(rustix::fs::Gid::from_raw(owner.st_gid));
    let flags = rustix::fs::AtFlags::SYMLINK_NOFOLLOW;
    Ok(rustix::fs::chownat(parent, name, uid, gid, flags)?)
}
