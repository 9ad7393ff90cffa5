//! The few system calls that neither std nor rustix has. Nothing here decides anything.
#![expect(unsafe_code, reason = "raw system calls")]

use std::ffi::{CString, c_long};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use rustix::process::Pid;

fn check(answer: c_long) -> io::Result<c_long> {
    if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(answer) }
}

/// Clones this process, which must have one thread; `None` in the child.
pub(crate) fn clone_process(namespaces: i32) -> io::Result<Option<Pid>> {
    let flags = c_long::from(namespaces | libc::SIGCHLD);
    // SAFETY: like fork: no stack and no pointers are given, memory is copied. The caller has one
    // thread, so no lock is held by a thread that the child lacks.
    let answer = check(unsafe { libc::syscall(libc::SYS_clone, flags, 0, 0, 0, 0) })?;
    Ok(i32::try_from(answer).ok().and_then(Pid::from_raw))
}

/// Whether a change to a mount holds for those beneath it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Depth {
    This,
    AndBeneath,
}

/// Sets attributes of a mount held by descriptor.
pub(crate) fn set_mount_attributes(
    mount: BorrowedFd<'_>,
    set: u64,
    depth: Depth,
) -> io::Result<()> {
    set_attributes(
        mount,
        depth,
        libc::mount_attr {
            attr_set: set,
            attr_clr: 0,
            propagation: libc::MS_PRIVATE,
            userns_fd: 0,
        },
    )
}

/// Shows the owners of files on a detached mount as a user namespace maps them.
pub(crate) fn map_mount_owners(mount: BorrowedFd<'_>, namespace: BorrowedFd<'_>) -> io::Result<()> {
    set_attributes(
        mount,
        Depth::This,
        libc::mount_attr {
            attr_set: libc::MOUNT_ATTR_IDMAP,
            attr_clr: 0,
            propagation: 0,
            userns_fd: u64::try_from(namespace.as_raw_fd()).unwrap_or_default(),
        },
    )
}

fn set_attributes(
    mount: BorrowedFd<'_>,
    depth: Depth,
    attributes: libc::mount_attr,
) -> io::Result<()> {
    let recursive = if depth == Depth::AndBeneath { libc::AT_RECURSIVE } else { 0 };
    // SAFETY: the path is an empty C string and the structure lives across the call.
    let answer = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH | recursive,
            &raw const attributes,
            size_of::<libc::mount_attr>(),
        )
    };
    check(answer).map(drop)
}

/// Marks descriptors from `first` on to be closed at exec.
pub(crate) fn close_on_exec(first: u32) -> io::Result<()> {
    // SAFETY: the call takes numbers only and sets a flag.
    let answer =
        unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, libc::CLOSE_RANGE_CLOEXEC) };
    check(answer).map(drop)
}

/// Closes every descriptor from `first` on.
///
/// To be called before anything of one's own is open there.
pub(crate) fn close_from(first: u32) -> io::Result<()> {
    // SAFETY: the call takes numbers only, and no descriptor from `first` on is owned here yet.
    let answer = unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, 0) };
    check(answer).map(drop)
}

/// Executes the file behind a descriptor; returns only when that fails.
pub(crate) fn execute(program: BorrowedFd<'_>, argv: &[CString], env: &[CString]) -> io::Error {
    let pointers = |list: &[CString]| {
        let mut pointers: Vec<_> = list.iter().map(|text| text.as_ptr()).collect();
        pointers.push(std::ptr::null());
        pointers
    };
    let (argv, env) = (pointers(argv), pointers(env));
    // SAFETY: both arrays end with a null pointer and live, with their strings, across the call.
    unsafe {
        libc::syscall(
            libc::SYS_execveat,
            program.as_raw_fd(),
            c"".as_ptr(),
            argv.as_ptr(),
            env.as_ptr(),
            libc::AT_EMPTY_PATH,
        )
    };
    io::Error::last_os_error()
}

/// The newest version of Landlock that the kernel knows; 0 without Landlock.
pub(crate) fn landlock_version() -> u32 {
    const VERSION: c_long = 1;
    // SAFETY: with this flag no structure is read.
    let answer =
        unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, 0_usize, 0_usize, VERSION) };
    u32::try_from(answer).unwrap_or(0)
}

/// `struct landlock_ruleset_attr`.
#[repr(C)]
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct LandlockRuleset {
    pub(crate) files: u64,
    pub(crate) network: u64,
    pub(crate) scoped: u64,
}

pub(crate) fn landlock_create(ruleset: LandlockRuleset, bytes: usize) -> io::Result<OwnedFd> {
    // SAFETY: `bytes` is at most the size of the structure, which lives across the call.
    let answer = unsafe {
        libc::syscall(
            libc::SYS_landlock_create_ruleset,
            &raw const ruleset,
            bytes.min(size_of::<LandlockRuleset>()),
            0,
        )
    };
    let fd = i32::try_from(check(answer)?).map_err(io::Error::other)?;
    // SAFETY: the kernel has just given us this descriptor.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Allows these accesses beneath a path, or of one file.
pub(crate) fn landlock_allow(
    ruleset: BorrowedFd<'_>,
    path: BorrowedFd<'_>,
    accesses: u64,
) -> io::Result<()> {
    #[repr(C, packed)]
    struct PathBeneath {
        allowed_access: u64,
        parent_fd: i32,
    }
    const PATH_BENEATH: c_long = 1;
    let rule = PathBeneath { allowed_access: accesses, parent_fd: path.as_raw_fd() };
    // SAFETY: the structure has the layout that this kind of rule asks for.
    let answer = unsafe {
        libc::syscall(
            libc::SYS_landlock_add_rule,
            ruleset.as_raw_fd(),
            PATH_BENEATH,
            &raw const rule,
            0,
        )
    };
    check(answer).map(drop)
}

pub(crate) fn landlock_restrict(ruleset: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: the call takes a descriptor and a number.
    let answer = unsafe { libc::syscall(libc::SYS_landlock_restrict_self, ruleset.as_raw_fd(), 0) };
    check(answer).map(drop)
}

/// Installs a seccomp filter for this process and its descendants.
pub(crate) fn seccomp(filter: &[libc::sock_filter]) -> io::Result<()> {
    let length = u16::try_from(filter.len()).map_err(io::Error::other)?;
    let program = libc::sock_fprog { len: length, filter: filter.as_ptr().cast_mut() };
    // SAFETY: the program and its instructions live across the call, which copies them and writes
    // nothing.
    let answer = unsafe {
        libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0, &raw const program)
    };
    check(answer).map(drop)
}

/// Whether the kernel has seccomp filters.
pub(crate) fn has_seccomp() -> bool {
    const GET_ACTION_AVAIL: c_long = 2;
    let action = libc::SECCOMP_RET_ERRNO;
    // SAFETY: the kernel reads one number through the pointer.
    unsafe { libc::syscall(libc::SYS_seccomp, GET_ACTION_AVAIL, 0, &raw const action) == 0 }
}

/// Brings the loopback interface of this network namespace up.
pub(crate) fn loopback_up(socket: BorrowedFd<'_>) -> io::Result<()> {
    #[repr(C)]
    struct Request {
        name: [u8; 16],
        flags: libc::c_short,
        padding: [u8; 22],
    }
    let mut request = Request { name: [0; 16], flags: 0, padding: [0; 22] };
    request.name[..2].copy_from_slice(b"lo");
    request.flags = i16::try_from(libc::IFF_UP | libc::IFF_RUNNING).map_err(io::Error::other)?;
    // SAFETY: the structure has the size and layout of `struct ifreq`.
    let answer = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &raw mut request) };
    check(c_long::from(answer)).map(drop)
}

/// Ends this process at once, without running anything of what its parent had set up.
pub(crate) fn exit_now() -> ! {
    // SAFETY: the call takes a number and does not return.
    unsafe { libc::_exit(1) }
}
