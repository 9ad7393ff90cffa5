//! Roots: the workspace and the folders that may be read, and paths beneath them.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use rustix::fs::{FileType, Mode, OFlags, ResolveFlags, Stat};
use rustix::io::Errno;

use crate::message::{Code, Refusal};

/// How often a resolution that raced with a rename is tried again.
const RESOLVE_ATTEMPTS: usize = 64;

/// A folder, and the name under which it is addressed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// Absolute, such as `/workspace`.
    pub name: String,
    /// Where it lies for this process; the same as the name in a box.
    pub disk: PathBuf,
}

impl Mount {
    /// A folder that is addressed by its own path.
    pub fn itself(path: &str) -> Self {
        Self { name: path.trim_end_matches('/').to_owned(), disk: PathBuf::from(path) }
    }
}

/// The workspace, which may be written, and folders that may be read.
#[derive(Debug)]
pub struct Roots {
    workspace: Root,
    readable: Vec<Root>,
    cross_mounts: bool,
}

/// One opened root.
#[derive(Debug)]
pub(crate) struct Root {
    mount: Mount,
    fd: OwnedFd,
    writable: bool,
}

/// A path beneath a root. It says where to look, not that something is there.
#[derive(Debug, Clone)]
pub(crate) struct Place<'a> {
    root: &'a Root,
    /// Without leading, trailing or doubled slashes, and without `.`; empty for the root itself.
    relative: String,
    shown: String,
    /// The path was written as that of a directory.
    as_directory: bool,
    resolve: ResolveFlags,
}

impl Roots {
    /// Opens the roots once; what is later put in their place is not looked at.
    ///
    /// With `cross_mounts` false, nothing mounted beneath a root is reached.
    pub fn open(
        workspace: Mount,
        readable: Vec<Mount>,
        cross_mounts: bool,
    ) -> Result<Self, Refusal> {
        let workspace = Root::open(workspace, true)?;
        let readable =
            readable.into_iter().map(|mount| Root::open(mount, false)).collect::<Result<_, _>>()?;
        Ok(Self { workspace, readable, cross_mounts })
    }

    /// The name of the workspace.
    pub fn workspace(&self) -> &str {
        &self.workspace.mount.name
    }

    /// The names of the folders that may be read beside the workspace.
    pub fn readable(&self) -> Vec<String> {
        self.readable.iter().map(|root| root.mount.name.clone()).collect()
    }

    /// Finds the root of a path. What the path resolves to is only decided when it is opened.
    pub(crate) fn place(&self, path: &str) -> Result<Place<'_>, Refusal> {
        if path.is_empty() {
            return Err(Refusal::new(Code::BadRequest, "the path is empty"));
        }
        if path.contains('\0') {
            return Err(Refusal::new(Code::BadRequest, "the path contains a NUL"));
        }
        let (root, relative) = self.split(path)?;
        let parts: Vec<&str> =
            relative.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
        let relative = parts.join("/");
        let name = &root.mount.name;
        let shown = if parts.is_empty() { name.clone() } else { format!("{name}/{relative}") };
        let as_directory = path.ends_with('/') || path.ends_with("/.");
        let place = Place { root, relative, shown, as_directory, resolve: self.resolve() };
        place.root.require_alive(&place)?;
        Ok(place)
    }

    fn split<'a>(&self, path: &'a str) -> Result<(&Root, &'a str), Refusal> {
        if !path.starts_with('/') {
            return Ok((&self.workspace, path));
        }
        let roots = std::iter::once(&self.workspace).chain(&self.readable);
        roots
            .filter_map(|root| Some((root, beneath(path, &root.mount.name)?)))
            .max_by_key(|(root, _)| root.mount.name.len())
            .ok_or_else(|| {
                let workspace = self.workspace();
                Refusal::new(Code::OutsideWorkspace, format!("`{path}` is outside `{workspace}`"))
                    .hint(format!("use a path beneath `{workspace}`, or one relative to it"))
            })
    }

    fn resolve(&self) -> ResolveFlags {
        let flags = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
        if self.cross_mounts { flags } else { flags | ResolveFlags::NO_XDEV }
    }
}

/// The rest of `path` beneath `name`, whole components only.
fn beneath<'a>(path: &'a str, name: &str) -> Option<&'a str> {
    let rest = path.strip_prefix(name)?;
    (rest.is_empty() || rest.starts_with('/')).then_some(rest)
}

impl Root {
    fn open(mount: Mount, writable: bool) -> Result<Self, Refusal> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = rustix::fs::open(&mount.disk, flags, Mode::empty())
            .map_err(|errno| refusal_of(errno, &mount.name))?;
        Ok(Self { mount, fd, writable })
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    fn require_alive(&self, place: &Place<'_>) -> Result<(), Refusal> {
        let stat = rustix::fs::fstat(&self.fd).map_err(|errno| place.refusal(errno))?;
        if stat.st_nlink > 0 {
            return Ok(());
        }
        let name = &self.mount.name;
        Err(Refusal::new(Code::System, format!("`{name}` was deleted while it was in use")))
    }
}

impl<'a> Place<'a> {
    pub(crate) fn root(&self) -> &'a Root {
        self.root
    }

    /// The path in its full form.
    pub(crate) fn shown(&self) -> &str {
        &self.shown
    }

    /// The path beneath the root.
    pub(crate) fn relative(&self) -> &str {
        &self.relative
    }

    pub(crate) fn is_root(&self) -> bool {
        self.relative.is_empty()
    }

    /// Another place beneath the same root.
    pub(crate) fn sibling(&self, relative: &str) -> Self {
        Self {
            root: self.root,
            relative: relative.to_owned(),
            shown: format!("{}/{relative}", self.root.mount.name).trim_end_matches('/').to_owned(),
            as_directory: false,
            resolve: self.resolve,
        }
    }

    /// Opens beneath the root, with whatever flags; never blocks, never gets a terminal.
    pub(crate) fn open(&self, flags: OFlags) -> Result<OwnedFd, Errno> {
        let path = if self.is_root() { "." } else { &self.relative };
        self.open_relative(path, flags)
    }

    fn open_relative(&self, path: &str, flags: OFlags) -> Result<OwnedFd, Errno> {
        let mut flags = flags | OFlags::CLOEXEC;
        if !flags.contains(OFlags::PATH) {
            flags |= OFlags::NONBLOCK | OFlags::NOCTTY;
        }
        let mut attempts = 0;
        loop {
            attempts += 1;
            match rustix::fs::openat2(&self.root.fd, path, flags, Mode::empty(), self.resolve) {
                Err(Errno::AGAIN | Errno::INTR) if attempts < RESOLVE_ATTEMPTS => {}
                result => return result,
            }
        }
    }

    /// Opens for reading what must be a file.
    pub(crate) fn open_file(&self) -> Result<File, Refusal> {
        if self.is_root() || self.as_directory {
            return Err(self.not_a_file("a directory"));
        }
        self.open(OFlags::RDONLY).map(File::from).map_err(|errno| self.refusal(errno))
    }

    /// Opens what must be a directory.
    pub(crate) fn open_directory(&self) -> Result<OwnedFd, Refusal> {
        self.open(OFlags::RDONLY | OFlags::DIRECTORY).map_err(|errno| self.refusal(errno))
    }

    /// Opens the directory that holds the last name of the path.
    pub(crate) fn open_parent(&self) -> Result<(OwnedFd, &str), Refusal> {
        let (parent, name) = self.parent_and_name()?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        let fd = self.open_relative(parent, flags).map_err(|errno| self.refusal(errno))?;
        Ok((fd, name))
    }

    /// Opens the directory that holds the last name, and makes what of it is missing.
    pub(crate) fn create_parent(&self) -> Result<OwnedFd, Refusal> {
        let (parent, _) = self.parent_and_name()?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        match self.open_relative(parent, flags) {
            Err(Errno::NOENT) => {}
            result => return result.map_err(|errno| self.refusal(errno)),
        }
        if parent.split('/').any(|part| part == "..") {
            let message = format!("`{}` leads through a directory that is missing", self.shown);
            return Err(Refusal::new(Code::NotFound, message).hint("write the path without `..`"));
        }
        self.create_directories(parent).map_err(|errno| self.refusal(errno))
    }

    /// Each prefix is resolved beneath the root anew, and each name made in a directory so found.
    fn create_directories(&self, path: &str) -> Result<OwnedFd, Errno> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        let mut at = self.open_relative(".", flags)?;
        let ends = path.match_indices('/').map(|(end, _)| end).chain([path.len()]);
        for end in ends {
            let prefix = &path[..end];
            at = match self.open_relative(prefix, flags) {
                Err(Errno::NOENT) => {
                    let name = prefix.rsplit('/').next().unwrap_or(prefix);
                    match rustix::fs::mkdirat(&at, name, Mode::from_raw_mode(0o777)) {
                        Ok(()) => rustix::fs::fsync(&at)?,
                        Err(Errno::EXIST) => {}
                        Err(errno) => return Err(errno),
                    }
                    self.open_relative(prefix, flags)?
                }
                result => result?,
            };
        }
        Ok(at)
    }

    /// Says that nothing may be written here, where that is so.
    pub(crate) fn require_writable(&self) -> Result<(), Refusal> {
        if self.root.writable {
            return Ok(());
        }
        let message = format!("`{}` may be read but not written", self.shown);
        Err(Refusal::new(Code::PermissionDenied, message))
    }

    fn parent_and_name(&self) -> Result<(&str, &str), Refusal> {
        let (parent, name) = self.relative.rsplit_once('/').unwrap_or((".", &self.relative));
        if name.is_empty() || name == ".." || self.as_directory {
            return Err(self.not_a_file("a directory"));
        }
        Ok((parent, name))
    }

    /// Gives a file back if it is a regular one.
    pub(crate) fn regular(&self, file: File) -> Result<(File, Stat), Refusal> {
        let stat = rustix::fs::fstat(&file).map_err(|errno| self.refusal(errno))?;
        let what = match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => return Ok((file, stat)),
            FileType::Directory => "a directory",
            FileType::Fifo => "a named pipe",
            FileType::Socket => "a socket",
            FileType::CharacterDevice | FileType::BlockDevice => "a device",
            _ => "not a file",
        };
        Err(self.not_a_file(what))
    }

    pub(crate) fn not_a_file(&self, what: &str) -> Refusal {
        let refusal = Refusal::new(Code::NotAFile, format!("`{}` is {what}", self.shown));
        if what == "a directory" {
            refusal.hint("name a file; `glob` lists what a directory holds")
        } else {
            refusal
        }
    }

    pub(crate) fn refusal(&self, errno: Errno) -> Refusal {
        refusal_of(errno, &self.shown)
    }
}

/// What the system said about a path, in our words.
pub(crate) fn refusal_of(errno: Errno, path: &str) -> Refusal {
    let (code, what) = match errno {
        Errno::XDEV => (Code::OutsideWorkspace, "leads out of the workspace"),
        Errno::LOOP => (Code::OutsideWorkspace, "goes through a link that is not followed"),
        Errno::NOENT => (Code::NotFound, "does not exist"),
        Errno::NOTDIR => (Code::NotFound, "goes through something that is not a directory"),
        Errno::ISDIR => (Code::NotAFile, "is a directory"),
        Errno::NXIO | Errno::NODEV => (Code::NotAFile, "is a socket, a pipe or a device"),
        Errno::ACCESS | Errno::PERM => (Code::PermissionDenied, "is not permitted"),
        Errno::ROFS => (Code::PermissionDenied, "is read-only"),
        Errno::BUSY => (Code::PermissionDenied, "is protected"),
        Errno::NAMETOOLONG => (Code::BadRequest, "is too long a name"),
        Errno::NOSPC | Errno::DQUOT => (Code::Exhausted, "does not fit: the disk is full"),
        Errno::AGAIN => (Code::System, "is being moved about while it is opened"),
        Errno::NOSYS => (Code::Unsupported, "needs `openat2`, which this box forbids"),
        _ => return Refusal::new(Code::System, format!("`{path}`: {errno}")),
    };
    Refusal::new(code, format!("`{path}` {what}"))
}
