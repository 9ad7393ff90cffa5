//! What is seen in a box: a root of its own with the system, read-only, and the workspace.

use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use rustix::mount::{MountFlags, MountPropagationFlags, UnmountFlags};

use crate::config::Network;

use super::ids::{self, Ids};
use super::mounts::{self, DEVICE, NO_DEVICES, READ_ONLY};
use super::order::{Bind, Guard, GuardKind, Order};
use super::sys::{self, Depth};

/// The state folder, as it is called in a box.
pub(crate) const STATE: &str = "/.polos/state";
/// The home of the box's user.
pub(crate) const HOME: &str = "/home/agent";

/// Folders of the system, or links into it.
pub(crate) const SYSTEM: [&str; 8] =
    ["/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/nix/store"];

/// Settings of git, the lowest in rank: a repository's own win. A folder that merely looks like a
/// bare repository is none, or its settings could run programs.
pub(crate) const GIT_CONFIG: &str = "[user]\n\tname = Polos agent\n\temail = agent@polos.invalid\n\
    [safe]\n\tdirectory = *\n\tbareRepository = explicit\n[init]\n\tdefaultBranch = main\n\
    [gc]\n\tauto = 0\n[maintenance]\n\tauto = false\n";

/// What of `/etc` is seen; the rest is made up or absent.
pub(crate) const ETC: [&str; 11] = [
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/alternatives",
    "/etc/ssl/certs",
    "/etc/ssl/openssl.cnf",
    "/etc/pki",
    "/etc/ca-certificates",
    "/etc/localtime",
    "/etc/terminfo",
    "/etc/mime.types",
];

/// Names, read only where the network is the host's.
const ETC_NETWORK: [&str; 2] = ["/etc/resolv.conf", "/etc/services"];

pub(crate) const DEVICES: [&str; 5] =
    ["/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom"];

/// Of `/proc`, read-only.
const PROC_READ_ONLY: [&str; 5] = ["sys", "irq", "bus", "fs", "sysrq-trigger"];
/// Of `/proc`, covered.
const PROC_COVERED: [&str; 8] =
    ["kcore", "keys", "key-users", "kmsg", "timer_list", "kallsyms", "kpagecount", "sched_debug"];

/// A detached mount and where it goes.
#[derive(Debug)]
pub(crate) struct Tree {
    mount: OwnedFd,
    target: PathBuf,
    is_folder: bool,
    bind: Option<Bind>,
}

/// Copies the mounts of everything that is bound into the box.
///
/// A root keeper does it before the clone, with its own rights on paths and owners; any other
/// keeper leaves it to the child, which has the right to mount in its own namespace only.
pub(crate) fn gather(order: &Order, ids: &Ids) -> Result<Vec<Tree>, Failure> {
    let mut trees = Vec::new();
    let network: &[&str] = if order.network == Network::Full { &ETC_NETWORK } else { &[] };
    for path in SYSTEM.iter().chain(&ETC).chain(network) {
        let path = Path::new(path);
        let is_link = fs::symlink_metadata(path).is_ok_and(|found| found.is_symlink());
        if path.exists() && !(is_link && SYSTEM.iter().any(|system| Path::new(system) == path)) {
            trees.push(tree(path, path, READ_ONLY).map_err(at(path))?);
        }
    }
    for device in DEVICES.map(Path::new) {
        trees.push(tree(device, device, DEVICE).map_err(at(device))?);
    }
    for bind in &order.binds {
        trees.push(bind_tree(bind, ids)?);
    }
    let state = order.folder.join("state");
    trees.push(tree(&state, Path::new(STATE), NO_DEVICES).map_err(at(&state))?);
    trees.sort_by_key(|tree| tree.target.components().count());
    Ok(trees)
}

/// Why a view could not be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error("`{path}` cannot be set up in the box: {error}")]
    At { path: PathBuf, error: String },
    #[error("`{path}` cannot be shown in the box: {error}")]
    Bind { path: PathBuf, error: String },
    #[error(
        "`{path}` belongs to user {uid}, and its file system cannot map owners: {error}\nhint: give the folder to another user, or set `local.uid` to its owner"
    )]
    Owner { path: PathBuf, uid: u32, error: String },
    #[error(
        "`{path}` is, or lies behind, a symbolic link, so it cannot be protected\nhint: replace the link by what it points to, or take the path out of `local.protected`"
    )]
    Link { path: PathBuf },
}

impl Failure {
    /// Whether the kernel is the cause, so that a box of a lower level may be made instead.
    pub(crate) fn is_of_the_kernel(&self) -> bool {
        matches!(self, Self::At { .. })
    }
}

fn binding(path: &Path) -> impl Fn(io::Error) -> Failure {
    move |error| Failure::Bind { path: path.to_owned(), error: error.to_string() }
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> Failure {
    move |error| Failure::At { path: path.to_owned(), error: error.to_string() }
}

fn tree(source: &Path, target: &Path, attributes: u64) -> io::Result<Tree> {
    let mount = mounts::copy(source, attributes)?;
    let is_folder = mounts::is_folder(mount.as_fd())?;
    Ok(Tree { mount, target: target.to_owned(), is_folder, bind: None })
}

/// A bind of the user's; where the box's user does not own it, with its owner mapped.
fn bind_tree(bind: &Bind, ids: &Ids) -> Result<Tree, Failure> {
    let attributes = if bind.writable { NO_DEVICES } else { READ_ONLY };
    let failed = binding(&bind.source);
    let mut tree = tree(&bind.source, &bind.target, attributes).map_err(&failed)?;
    let foreign =
        if bind.writable { ids.foreign_owner(&bind.source).map_err(&failed)? } else { None };
    if let Some(owner) = foreign {
        let namespace = ids.mapping_from(owner).map_err(&failed)?;
        ids::map_owners(&tree.mount, &namespace).map_err(|error| Failure::Owner {
            path: bind.source.clone(),
            uid: owner.uid,
            error: error.to_string(),
        })?;
    }
    tree.bind = Some(bind.clone());
    Ok(tree)
}

/// Puts the root together and makes it this process's root.
pub(crate) fn enter(order: &Order, trees: &[Tree]) -> Result<(), Failure> {
    let staging = mounts::staging().unwrap_or(Path::new("/"));
    let fail = at(staging);
    let root = start(staging).map_err(fail)?;
    furnish(order).map_err(at(staging))?;
    for tree in trees {
        put(&root, tree)?;
    }
    furnish_proc(&root).map_err(at(Path::new("/proc")))?;
    settle(&root).map_err(at(staging))
}

fn start(staging: &Path) -> io::Result<OwnedFd> {
    let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    rustix::mount::mount_change("/", private)?;
    let flags = MountFlags::NOSUID | MountFlags::NODEV;
    rustix::mount::mount("tmpfs", staging, "tmpfs", flags, Some(c"size=8m,mode=0755"))?;
    std::env::set_current_dir(staging)?;
    mounts::folder(Path::new("."))
}

/// Makes what is the box's own, relative to the current folder.
fn furnish(order: &Order) -> io::Result<()> {
    for folder in ["etc", "dev", "proc", "tmp", "home/agent", "run", "var", "sys", "dev/shm"] {
        fs::DirBuilder::new().recursive(true).mode(0o755).create(folder)?;
    }
    fs::DirBuilder::new().recursive(true).mode(0o700).create(".polos")?;
    fs::set_permissions(".polos", fs::Permissions::from_mode(0o755))?;
    fs::DirBuilder::new().mode(0o000).create(".polos/covered")?;
    fs::write(".polos/empty", "")?;
    fs::set_permissions(".polos/empty", fs::Permissions::from_mode(0o000))?;
    let quiet = MountFlags::NOSUID | MountFlags::NODEV;
    let tmpfs = |path: &str, bytes: u64, mode: &str| {
        let data = std::ffi::CString::new(format!("size={bytes},mode={mode}"))?;
        rustix::mount::mount("tmpfs", path, "tmpfs", quiet, Some(data.as_c_str()))?;
        io::Result::Ok(())
    };
    // They count as memory: full, they must still leave the box room to live.
    let bytes = order.limits.tmp_bytes.min(order.limits.memory_bytes / 4);
    tmpfs("tmp", bytes, "1777")?;
    tmpfs("home/agent", bytes, "0755")?;
    tmpfs("dev/shm", bytes / 4, "1777")?;
    symlink("/tmp", "var/tmp")?;
    for (link, target) in [
        ("fd", "/proc/self/fd"),
        ("stdin", "/proc/self/fd/0"),
        ("stdout", "/proc/self/fd/1"),
        ("stderr", "/proc/self/fd/2"),
    ] {
        symlink(target, Path::new("dev").join(link))?;
    }
    for path in SYSTEM {
        if let Ok(target) = fs::read_link(path) {
            symlink(target, path.trim_start_matches('/'))?;
        }
    }
    write_etc()
}

fn write_etc() -> io::Result<()> {
    let files = [
        ("passwd", "root:x:0:0::/:/usr/sbin/nologin\nagent:x:1000:1000::/home/agent:/bin/sh\n"),
        ("group", "root:x:0:\nagent:x:1000:\n"),
        ("hosts", "127.0.0.1 localhost sandbox\n::1 localhost\n"),
        ("hostname", "sandbox\n"),
        ("nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\n"),
        ("gitconfig", GIT_CONFIG),
    ];
    files.into_iter().try_for_each(|(name, text)| fs::write(Path::new("etc").join(name), text))
}

/// Attaches a tree, then its guards and covers.
fn put(root: &OwnedFd, tree: &Tree) -> Result<(), Failure> {
    let place = mounts::make_place(root, &tree.target, tree.is_folder).map_err(at(&tree.target))?;
    mounts::attach(&tree.mount, place.as_fd()).map_err(at(&tree.target))?;
    let Some(bind) = &tree.bind else { return Ok(()) };
    for guard in &bind.guards {
        guard_one(&tree.mount, guard)?;
    }
    let covers = [".polos/covered", ".polos/empty"];
    for mask in &bind.masks {
        cover(root, &tree.mount, mask, covers)?;
    }
    Ok(())
}

fn guard_one(bind: &OwnedFd, guard: &Guard) -> Result<(), Failure> {
    let Some(place) = guarded_place(bind, &guard.path)? else { return Ok(()) };
    let attributes = if guard.kind == GuardKind::Pinned { NO_DEVICES } else { READ_ONLY };
    let copy = mounts::copy_of(place.as_fd(), attributes).map_err(binding(&guard.path))?;
    mounts::attach(&copy, place.as_fd()).map_err(binding(&guard.path))
}

/// Opens what shall be guarded; `None` where there is nothing.
fn guarded_place(bind: &OwnedFd, path: &Path) -> Result<Option<OwnedFd>, Failure> {
    use rustix::io::Errno;
    match mounts::beneath(bind.as_fd(), path) {
        Ok(place) => {
            let stat = rustix::fs::fstat(&place).map_err(|errno| binding(path)(errno.into()))?;
            let kind = rustix::fs::FileType::from_raw_mode(stat.st_mode);
            if kind.is_symlink() {
                Err(Failure::Link { path: path.to_owned() })
            } else {
                Ok(Some(place))
            }
        }
        Err(error) => match Errno::from_io_error(&error) {
            Some(Errno::NOENT | Errno::NOTDIR) => Ok(None),
            Some(Errno::LOOP) => Err(Failure::Link { path: path.to_owned() }),
            _ => Err(binding(path)(error)),
        },
    }
}

/// Covers a folder by an empty one that cannot be entered, a file by one that cannot be read.
fn cover(
    root: &OwnedFd,
    bind: &OwnedFd,
    path: &Path,
    [folder, file]: [&str; 2],
) -> Result<(), Failure> {
    let Some(place) = guarded_place(bind, path)? else { return Ok(()) };
    let is_folder = mounts::is_folder(place.as_fd()).map_err(binding(path))?;
    let with = if is_folder { folder } else { file };
    let with = mounts::beneath(root.as_fd(), Path::new(with)).map_err(binding(path))?;
    let copy = mounts::copy_of(with.as_fd(), READ_ONLY).map_err(binding(path))?;
    mounts::attach(&copy, place.as_fd()).map_err(binding(path))
}

fn furnish_proc(root: &OwnedFd) -> io::Result<()> {
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    rustix::mount::mount("proc", "proc", "proc", flags, None)?;
    let empty = mounts::beneath(root.as_fd(), Path::new(".polos/empty"))?;
    for (names, is_covered) in [(&PROC_READ_ONLY[..], false), (&PROC_COVERED[..], true)] {
        for name in names {
            let Ok(place) = mounts::beneath(root.as_fd(), &Path::new("proc").join(name)) else {
                continue;
            };
            let from = if is_covered { empty.as_fd() } else { place.as_fd() };
            mounts::attach(&mounts::copy_of(from, READ_ONLY)?, place.as_fd())?;
        }
    }
    Ok(())
}

/// Makes the new root read-only, and the only root.
fn settle(root: &OwnedFd) -> io::Result<()> {
    sys::set_mount_attributes(root.as_fd(), READ_ONLY, Depth::This)?;
    rustix::process::pivot_root(".", ".")?;
    rustix::mount::unmount(".", UnmountFlags::DETACH)?;
    std::env::set_current_dir("/")
}
