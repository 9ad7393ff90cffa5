//! Mounts by descriptor: nothing is looked up twice, and no link of the workspace is followed.

use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Component, Path};

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags};
use rustix::mount::{MoveMountFlags, OpenTreeFlags};

use super::sys::{self, Depth};

/// Attributes of every mount in a box.
const QUIET: u64 = libc::MOUNT_ATTR_NOSUID;
pub(crate) const NO_DEVICES: u64 = QUIET | libc::MOUNT_ATTR_NODEV;
pub(crate) const DEVICE: u64 = QUIET | libc::MOUNT_ATTR_NOEXEC;
pub(crate) const READ_ONLY: u64 = NO_DEVICES | libc::MOUNT_ATTR_RDONLY;

/// A detached copy of the mounts at a path of the host.
pub(crate) fn copy(path: &Path, attributes: u64) -> io::Result<OwnedFd> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_RECURSIVE;
    let tree = rustix::mount::open_tree(CWD, path, flags)?;
    sys::set_mount_attributes(tree.as_fd(), attributes, Depth::AndBeneath)?;
    Ok(tree)
}

/// A detached copy of the mounts at a descriptor.
pub(crate) fn copy_of(place: BorrowedFd<'_>, attributes: u64) -> io::Result<OwnedFd> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_RECURSIVE
        | OpenTreeFlags::AT_EMPTY_PATH;
    let tree = rustix::mount::open_tree(place, c"", flags)?;
    sys::set_mount_attributes(tree.as_fd(), attributes, Depth::AndBeneath)?;
    Ok(tree)
}

/// Puts a detached mount at a place.
pub(crate) fn attach(tree: &OwnedFd, place: BorrowedFd<'_>) -> io::Result<()> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    Ok(rustix::mount::move_mount(tree, c"", place, c"", flags)?)
}

/// Opens a path beneath a folder, following no link at all.
pub(crate) fn beneath(folder: BorrowedFd<'_>, path: &Path) -> io::Result<OwnedFd> {
    let path = path.strip_prefix("/").unwrap_or(path);
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    Ok(rustix::fs::openat2(folder, path, flags, Mode::empty(), resolve)?)
}

/// A folder, opened to look beneath it.
pub(crate) fn folder(path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(rustix::fs::open(path, flags, Mode::empty())?)
}

pub(crate) fn is_folder(place: BorrowedFd<'_>) -> io::Result<bool> {
    let stat = rustix::fs::fstat(place)?;
    Ok(rustix::fs::FileType::from_raw_mode(stat.st_mode).is_dir())
}

/// Makes a place of the right kind beneath a root of our own, and opens it.
pub(crate) fn make_place(root: &OwnedFd, target: &Path, is_folder: bool) -> io::Result<OwnedFd> {
    match beneath(root.as_fd(), target) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        found => return found,
    }
    let parts: Vec<_> = target
        .components()
        .filter_map(|part| if let Component::Normal(name) = part { Some(name) } else { None })
        .collect();
    let mut at = beneath(root.as_fd(), Path::new("."))?;
    for (index, name) in parts.iter().enumerate() {
        let is_last = index + 1 == parts.len();
        let made = if is_last && !is_folder {
            let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
            rustix::fs::openat(&at, *name, flags, Mode::from_raw_mode(0o644)).map(drop)
        } else {
            rustix::fs::mkdirat(&at, *name, Mode::from_raw_mode(0o755))
        };
        match made {
            Ok(()) | Err(rustix::io::Errno::EXIST) => {}
            Err(errno) => return Err(errno.into()),
        }
        at = beneath(at.as_fd(), Path::new(name))?;
    }
    Ok(at)
}

/// Where the new root is put together; what lies there is covered in our own view only.
pub(crate) fn staging() -> Option<&'static Path> {
    ["/tmp", "/mnt", "/var", "/usr"]
        .map(Path::new)
        .into_iter()
        .find(|path| fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_dir()))
}
