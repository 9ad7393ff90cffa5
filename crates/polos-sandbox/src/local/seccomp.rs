//! The system calls that nothing in a box may make.
//!
//! A deny list: what programs need changes too often for an allow list. It takes away what widens
//! the kernel's surface (new namespaces, mounts, `bpf`, `io_uring`), what reaches into other processes
//! (`ptrace`, `process_vm_readv`) and every kind of socket that the box's network does not need.

use std::io;

use libc::{BPF_ABS, BPF_ALU, BPF_AND, BPF_JEQ, BPF_JGE, BPF_JMP, BPF_K, BPF_LD, BPF_RET, BPF_W};
use libc::{c_long, sock_filter};

use crate::config::Network;

use super::sys;

/// Offsets in `struct seccomp_data`; arguments are 64 bits wide, low half first.
const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;
const ARGUMENTS: u32 = 16;

#[cfg(target_arch = "x86_64")]
const OUR_ARCHITECTURE: u32 = 0xc000_003e;
#[cfg(target_arch = "aarch64")]
const OUR_ARCHITECTURE: u32 = 0xc000_00b7;

/// Numbers from here on are the x32 ABI, a second way to every system call.
#[cfg(target_arch = "x86_64")]
const X32: u32 = 0x4000_0000;

const ALLOW: u32 = libc::SECCOMP_RET_ALLOW;
const KILL: u32 = libc::SECCOMP_RET_KILL_PROCESS;

/// Refused with `EPERM` whatever the arguments.
const REFUSED: &[c_long] = &[
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_pidfd_getfd,
    libc::SYS_kcmp,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_open_tree,
    libc::SYS_move_mount,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_mount_setattr,
    libc::SYS_unshare,
    libc::SYS_setns,
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_keyctl,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_kexec_load,
    libc::SYS_kexec_file_load,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_open_by_handle_at,
    libc::SYS_name_to_handle_at,
    libc::SYS_fanotify_init,
    libc::SYS_fanotify_mark,
    libc::SYS_quotactl,
    libc::SYS_quotactl_fd,
    libc::SYS_acct,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_reboot,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_clock_adjtime,
    libc::SYS_adjtimex,
    libc::SYS_syslog,
    libc::SYS_vhangup,
    libc::SYS_lookup_dcookie,
    libc::SYS_nfsservctl,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    libc::SYS_move_pages,
    libc::SYS_migrate_pages,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_iopl,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_ioperm,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_modify_ldt,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_uselib,
    #[cfg(target_arch = "x86_64")]
    libc::SYS__sysctl,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_ustat,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_sysfs,
];

/// Namespaces that `clone` could make.
const NAMESPACES: i32 = libc::CLONE_NEWUSER
    | libc::CLONE_NEWNS
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNET
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWCGROUP;

/// Puts input into a terminal.
const TERMINAL_INJECTIONS: [u32; 2] = [0x5412, 0x541c];

/// The bits that let whoever runs a file be its owner. In the box they mean nothing; on the host,
/// where the workspace is the user's own, they would be an open door.
const SET_ID: u32 = libc::S_ISUID | libc::S_ISGID;

/// Flags with which a file is made, so that a mode counts.
const MAKING: u32 = (libc::O_CREAT | (libc::O_TMPFILE & !libc::O_DIRECTORY)).cast_unsigned();

/// Calls that give a file a mode, and which of their arguments that is.
const MODES: &[(c_long, u32)] = &[
    (libc::SYS_fchmod, 1),
    (libc::SYS_fchmodat, 2),
    (libc::SYS_fchmodat2, 2),
    (libc::SYS_mknodat, 2),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_chmod, 1),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_mknod, 1),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_creat, 1),
];

/// Calls that give a file a mode if they make it: the arguments of the flags and of the mode.
const OPENINGS: &[(c_long, u32, u32)] = &[
    (libc::SYS_openat, 2, 3),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_open, 1, 2),
];

/// Installs the filter; it cannot be taken off again.
pub(crate) fn install(network: Network) -> io::Result<()> {
    sys::seccomp(&filter(network))
}

/// The filter that commands get on top: `openat2` can give a mode too, and holds it in memory,
/// where a filter cannot see it. Programs that know the call know what to do without.
pub(crate) fn for_commands() -> Vec<sock_filter> {
    let mut program = vec![load(NUMBER)];
    program.extend(on(libc::SYS_openat2, &[answer(errno(libc::ENOSYS))]));
    program.push(answer(ALLOW));
    program
}

fn filter(network: Network) -> Vec<sock_filter> {
    let mut program =
        vec![load(ARCHITECTURE), jump(BPF_JEQ, OUR_ARCHITECTURE, 1, 0), answer(KILL), load(NUMBER)];
    #[cfg(target_arch = "x86_64")]
    program.extend([jump(BPF_JGE, X32, 0, 1), answer(KILL)]);
    for &number in REFUSED {
        program.extend(on(number, &[answer(errno(libc::EPERM))]));
    }
    // Without its flags in a register clone3 cannot be judged; libraries fall back to clone.
    program.extend(on(libc::SYS_clone3, &[answer(errno(libc::ENOSYS))]));
    program.extend(on(
        libc::SYS_clone,
        &[
            load(argument(0)),
            masked(NAMESPACES.cast_unsigned()),
            jump(BPF_JEQ, 0, 1, 0),
            answer(errno(libc::EPERM)),
            answer(ALLOW),
        ],
    ));
    // Limits of oneself only: those of the first process are not a command's business.
    program.extend(on(
        libc::SYS_prlimit64,
        &[load(argument(0)), jump(BPF_JEQ, 0, 1, 0), answer(errno(libc::EPERM)), answer(ALLOW)],
    ));
    program.extend(on(
        libc::SYS_ioctl,
        &[
            load(argument(1)),
            jump(BPF_JEQ, TERMINAL_INJECTIONS[0], 1, 0),
            jump(BPF_JEQ, TERMINAL_INJECTIONS[1], 0, 1),
            answer(errno(libc::EPERM)),
            answer(ALLOW),
        ],
    ));
    for &(number, mode) in MODES {
        program.extend(on(number, &no_set_id(mode)));
    }
    for &(number, flags, mode) in OPENINGS {
        let mut opening =
            vec![load(argument(flags)), masked(MAKING), jump(BPF_JEQ, 0, 0, 1), answer(ALLOW)];
        opening.extend(no_set_id(mode));
        program.extend(on(number, &opening));
    }
    program.extend(on(libc::SYS_socket, &sockets(network)));
    program.extend(on(libc::SYS_socketpair, &only_families(&[libc::AF_UNIX])));
    program.push(answer(ALLOW));
    program
}

/// Refuses a mode with the bits of another's rights.
fn no_set_id(mode: u32) -> [sock_filter; 5] {
    [
        load(argument(mode)),
        masked(SET_ID),
        jump(BPF_JEQ, 0, 0, 1),
        answer(ALLOW),
        answer(errno(libc::EPERM)),
    ]
}

/// The families of sockets that suit the network; netlink only to list one's own interfaces.
fn sockets(network: Network) -> Vec<sock_filter> {
    if network == Network::None {
        return only_families(&[libc::AF_UNIX]);
    }
    let mut program = vec![
        load(argument(0)),
        jump(BPF_JEQ, libc::AF_NETLINK.cast_unsigned(), 0, 4),
        load(argument(2)),
        jump(BPF_JEQ, libc::NETLINK_ROUTE.cast_unsigned(), 1, 0),
        answer(errno(libc::EAFNOSUPPORT)),
        answer(ALLOW),
    ];
    program.extend(only_families(&[libc::AF_UNIX, libc::AF_INET, libc::AF_INET6]));
    program
}

fn only_families(families: &[i32]) -> Vec<sock_filter> {
    let mut program = vec![load(argument(0))];
    for family in families {
        program.extend([jump(BPF_JEQ, family.cast_unsigned(), 0, 1), answer(ALLOW)]);
    }
    program.push(answer(errno(libc::EAFNOSUPPORT)));
    program
}

/// These instructions, which all end in an answer, for one system call; the number stays loaded.
fn on(number: c_long, then: &[sock_filter]) -> Vec<sock_filter> {
    let number = u32::try_from(number).unwrap_or(u32::MAX);
    let skip = u8::try_from(then.len()).unwrap_or(u8::MAX);
    let mut program = vec![jump(BPF_JEQ, number, 0, skip)];
    program.extend_from_slice(then);
    program
}

fn argument(index: u32) -> u32 {
    ARGUMENTS + index * 8
}

fn errno(code: i32) -> u32 {
    libc::SECCOMP_RET_ERRNO | (code.cast_unsigned() & libc::SECCOMP_RET_DATA)
}

fn load(offset: u32) -> sock_filter {
    instruction(BPF_LD | BPF_W | BPF_ABS, offset, 0, 0)
}

fn masked(mask: u32) -> sock_filter {
    instruction(BPF_ALU | BPF_AND | BPF_K, mask, 0, 0)
}

fn jump(test: u32, value: u32, if_true: u8, if_false: u8) -> sock_filter {
    instruction(BPF_JMP | test | BPF_K, value, if_true, if_false)
}

fn answer(action: u32) -> sock_filter {
    instruction(BPF_RET | BPF_K, action, 0, 0)
}

fn instruction(code: u32, k: u32, jt: u8, jf: u8) -> sock_filter {
    sock_filter { code: u16::try_from(code).unwrap_or_default(), jt, jf, k }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(network: Network, number: c_long, [a, b, c]: [u32; 3]) -> u32 {
        interpret(&filter(network), number, [a, b, c, 0])
    }

    /// Interprets a filter for one system call.
    fn interpret(program: &[sock_filter], number: c_long, arguments: [u32; 4]) -> u32 {
        let (mut register, mut at) = (0, 0);
        loop {
            let step = program[at];
            at += 1;
            match u32::from(step.code) {
                code if code == BPF_LD | BPF_W | BPF_ABS => {
                    register = match step.k {
                        NUMBER => u32::try_from(number).unwrap(),
                        ARCHITECTURE => OUR_ARCHITECTURE,
                        offset => arguments[((offset - ARGUMENTS) / 8) as usize],
                    };
                }
                code if code == BPF_ALU | BPF_AND | BPF_K => register &= step.k,
                code if code == BPF_RET | BPF_K => return step.k,
                code => {
                    let taken = if code == BPF_JMP | BPF_JGE | BPF_K {
                        register >= step.k
                    } else {
                        register == step.k
                    };
                    at += usize::from(if taken { step.jt } else { step.jf });
                }
            }
        }
    }

    #[test]
    fn calls_are_judged_by_number_and_arguments() {
        let eperm = errno(libc::EPERM);
        let family = errno(libc::EAFNOSUPPORT);
        let none = |number, arguments| run(Network::None, number, arguments);
        assert_eq!(none(libc::SYS_read, [0; 3]), ALLOW);
        assert_eq!(none(libc::SYS_ptrace, [0; 3]), eperm);
        assert_eq!(none(libc::SYS_clone3, [0; 3]), errno(libc::ENOSYS));
        assert_eq!(none(libc::SYS_clone, [0x11, 0, 0]), ALLOW);
        assert_eq!(none(libc::SYS_clone, [0x1000_0011, 0, 0]), eperm);
        assert_eq!(none(libc::SYS_prlimit64, [0, 0, 0]), ALLOW);
        assert_eq!(none(libc::SYS_prlimit64, [1, 0, 0]), eperm);
        assert_eq!(none(libc::SYS_ioctl, [0, 0x5412, 0]), eperm);
        assert_eq!(none(libc::SYS_ioctl, [0, 0x541c, 0]), eperm);
        assert_eq!(none(libc::SYS_ioctl, [0, 0x5401, 0]), ALLOW);
        assert_eq!(none(libc::SYS_socket, [1, 0, 0]), ALLOW);
        assert_eq!(none(libc::SYS_socketpair, [1, 0, 0]), ALLOW);
        for other in [2, 10, 16, 17, 38, 40] {
            assert_eq!(none(libc::SYS_socket, [other, 0, 0]), family, "{other}");
        }
        let full = |arguments| run(Network::Full, libc::SYS_socket, arguments);
        assert_eq!(full([2, 0, 0]), ALLOW);
        assert_eq!(full([10, 0, 0]), ALLOW);
        assert_eq!(full([16, 0, 0]), ALLOW);
        assert_eq!(full([16, 0, 12]), family);
        assert_eq!(full([17, 0, 0]), family);
        assert_eq!(full([40, 0, 0]), family);
        #[cfg(target_arch = "x86_64")]
        assert_eq!(none(c_long::from(X32), [0; 3]), KILL);
    }

    #[test]
    fn no_file_gets_the_bits_of_anothers_rights() {
        let judge = |number, arguments| interpret(&filter(Network::None), number, arguments);
        let eperm = errno(libc::EPERM);
        for bits in [0o4755, 0o2755, 0o6000] {
            assert_eq!(judge(libc::SYS_fchmod, [3, bits, 0, 0]), eperm);
            assert_eq!(judge(libc::SYS_fchmodat, [3, 0, bits, 0]), eperm);
            assert_eq!(judge(libc::SYS_fchmodat2, [3, 0, bits, 0]), eperm);
            assert_eq!(judge(libc::SYS_mknodat, [3, 0, 0o100_000 | bits, 0]), eperm);
            let making = libc::O_CREAT.cast_unsigned();
            assert_eq!(judge(libc::SYS_openat, [3, 0, making | 1, bits]), eperm);
            let unnamed = libc::O_TMPFILE.cast_unsigned();
            assert_eq!(judge(libc::SYS_openat, [3, 0, unnamed | 1, bits]), eperm);
            // Without a file to be made the mode is whatever was in the register.
            assert_eq!(judge(libc::SYS_openat, [3, 0, 0, bits]), ALLOW);
            assert_eq!(judge(libc::SYS_openat, [3, 0, 0o200_000, bits]), ALLOW);
        }
        assert_eq!(judge(libc::SYS_fchmod, [3, 0o1777, 0, 0]), ALLOW);
        assert_eq!(judge(libc::SYS_openat, [3, 0, libc::O_CREAT.cast_unsigned(), 0o666]), ALLOW);
        let command = |number| interpret(&for_commands(), number, [0; 4]);
        assert_eq!(command(libc::SYS_openat2), errno(libc::ENOSYS));
        assert_eq!(command(libc::SYS_openat), ALLOW);
    }
}
