//! The kernel's own doors: `/proc`, namespaces, sockets, keys, and the calls behind them.

use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::time::Duration;

use polos_sandbox::config::Network;
use polos_toolbox::message::{EditRequest, GlobRequest, GrepRequest, ReadRequest};

use super::{none_succeeds, on_host};
use crate::boxes::{Fixture, sh, text};

/// A program of nothing but this code, which ends by `exit(0)` if it gets so far.
fn program(code: &[u8]) -> Vec<u8> {
    let mut body = code.to_vec();
    // mov eax, 60; xor edi, edi; syscall
    body.extend([0xb8, 60, 0, 0, 0, 0x31, 0xff, 0x0f, 0x05]);
    let start: u64 = 0x40_0078;
    let size = 0x78 + body.len() as u64;
    let mut elf = vec![0x7f, b'E', b'L', b'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    elf.extend([2, 0, 62, 0, 1, 0, 0, 0]);
    elf.extend(start.to_le_bytes());
    elf.extend(64_u64.to_le_bytes());
    elf.extend([0; 12]);
    elf.extend([64, 0, 56, 0, 1, 0, 0, 0, 0, 0, 0, 0]);
    elf.extend([1, 0, 0, 0, 5, 0, 0, 0]);
    for field in [0, 0x40_0000, 0x40_0000, size, size, 0x1000_u64] {
        elf.extend(field.to_le_bytes());
    }
    elf.extend(body);
    elf
}

#[cfg(target_arch = "x86_64")]
#[tokio::test]
async fn other_ways_to_call_the_kernel_end_the_process() {
    let fixture = Fixture::new();
    let write = |name: &str, code: &[u8]| {
        let path = fixture.work().join(name);
        std::fs::write(&path, program(code)).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    };
    write("plain", &[]);
    // mov eax, 20; int 0x80: getpid of the 32 bit calls
    write("old", &[0xb8, 20, 0, 0, 0, 0xcd, 0x80]);
    // mov eax, 0x40000027; syscall: getpid of the x32 calls
    write("x32", &[0xb8, 0x27, 0, 0, 0x40, 0x0f, 0x05]);
    let Some(sandbox) = fixture.open().await else { return };
    assert_eq!(sh(&sandbox, "./plain").await.exit_code, Some(0));
    none_succeeds(&sandbox, &["./old", "./x32"]).await;
    sandbox.stop().await.unwrap();
}

/// Calls by number, as x86-64 has them; `$p` is some room to write to.
#[cfg(target_arch = "x86_64")]
const CALLS: &[(&str, &str)] = &[
    ("ptrace attach", "101, 16, getppid, 0, 0"),
    ("process_vm_readv", "310, getppid, $p, 1, $p, 1, 0"),
    ("process_vm_writev", "311, getppid, $p, 1, $p, 1, 0"),
    ("pidfd_getfd", "438, 3, 0, 0"),
    ("kcmp", "312, 1, $$, 0, 0, 0"),
    ("mount", "165, \"none\", \"/tmp\", \"tmpfs\", 0, 0"),
    ("umount", "166, \"/workspace\", 2"),
    ("pivot_root", "155, \"/tmp\", \"/tmp\""),
    ("chroot", "161, \"/tmp\""),
    ("open_tree", "428, -100, \"/\", 1"),
    ("move_mount", "429, -100, \"/tmp\", -100, \"/workspace\", 0"),
    ("fsopen", "430, \"tmpfs\", 0"),
    ("fspick", "433, -100, \"/\", 0"),
    ("mount_setattr", "442, -100, \"/\", 0, $p, 32"),
    ("unshare user", "272, 0x10000000"),
    ("unshare mount", "272, 0x20000"),
    ("unshare time", "272, 0x80"),
    ("setns", "308, 0, 0"),
    ("bpf", "321, 0, $p, 72"),
    ("perf_event_open", "298, $p, 0, -1, -1, 0"),
    ("userfaultfd", "323, 1"),
    ("io_uring_setup", "425, 4, $p"),
    ("io_uring_register", "427, 0, 0, 0, 0"),
    ("add_key", "248, \"user\", \"x\", \"y\", 1, -3"),
    ("request_key", "249, \"user\", \"x\", 0, -3"),
    ("keyctl session", "250, 1, 0"),
    ("keyctl read", "250, 11, -3, $p, 512"),
    ("kexec_load", "246, 0, 0, 0, 0"),
    ("init_module", "175, $p, 512, \"\""),
    ("finit_module", "313, 0, \"\", 0"),
    ("open_by_handle_at", "304, 3, $p, 0"),
    ("name_to_handle_at", "303, -100, \"/\", $p, $p, 0"),
    ("fanotify_init", "300, 0, 0"),
    ("quotactl", "179, 0, \"/\", 0, 0"),
    ("acct", "163, 0"),
    ("swapon", "167, \"file\", 0"),
    ("reboot", "169, 0xfee1dead, 672274793, 0"),
    ("settimeofday", "164, $p, 0"),
    ("clock_settime", "227, 0, $p"),
    ("syslog", "103, 3, $p, 512"),
    ("sethostname", "170, \"x\", 1"),
    ("iopl", "172, 3"),
    ("ioperm", "173, 0, 1, 1"),
    ("modify_ldt", "154, 0, $p, 512"),
    ("clone newuser", "56, 0x10000011, 0, 0, 0, 0"),
    ("clone3", "435, $p, 88"),
    ("prlimit of the first", "302, 1, 7, 0, $p"),
    ("move_pages", "279, 1, 0, 0, 0, 0, 0"),
    ("mknod device", "133, \"d\", 020666, 0x103"),
];

#[cfg(target_arch = "x86_64")]
#[tokio::test]
async fn calls_that_widen_the_surface_are_refused() {
    for fixture in Fixture::each() {
        let Some(sandbox) = fixture.open().await else { return };
        let room = "$p = \"\\0\" x 512;";
        let lines: Vec<String> = CALLS
            .iter()
            .map(|(name, call)| {
                // `-1` is a refusal; a process that was ended is one too.
                format!("perl -e '{room} exit(syscall({call}) == -1 ? 1 : 0)' # {name}")
            })
            .collect();
        none_succeeds(&sandbox, &lines.iter().map(String::as_str).collect::<Vec<_>>()).await;
        sandbox.stop().await.unwrap();
    }
}

/// Containers have these, read-only or of their own; local boxes do not.
const SHOWN_IN_CONTAINERS: [&str; 7] = [
    "cat /proc/kallsyms | grep .",
    "ls /sys/fs/cgroup",
    "ls /sys/kernel/debug",
    "ls /sys/class",
    "find /sys -mindepth 1 | grep .",
    "ls /dev/pts",
    "ls /dev/ptmx",
];

#[tokio::test]
async fn proc_and_cgroups_give_nothing_to_hold() {
    for fixture in Fixture::each() {
        let before = text(std::path::Path::new("/proc/sys/kernel/core_pattern"));
        let Some(sandbox) = fixture.open().await else { return };
        none_succeeds(
            &sandbox,
            &[
                "echo '|/workspace/x' > /proc/sys/kernel/core_pattern",
                "echo /workspace/x > /proc/sys/kernel/modprobe",
                "echo 1 > /proc/sys/kernel/sysrq",
                "echo b > /proc/sysrq-trigger",
                "echo 1 > /proc/sys/vm/drop_caches",
                "echo x > /proc/sys/kernel/hostname",
                "echo 1 > /proc/sys/net/ipv4/ip_forward",
                "echo 100 > /proc/sys/user/max_user_namespaces",
                "echo 0 > /proc/self/uid_map",
                "echo '0 0 1' > /proc/self/gid_map",
                "echo allow > /proc/self/setgroups",
                "echo 1 > /proc/self/clear_refs",
                "echo f > /proc/self/coredump_filter",
                "echo x > /proc/self/comm",
                "echo +1 > /proc/self/autogroup",
                "cat /proc/1/environ",
                "cat /proc/1/maps",
                "cat /proc/1/mem",
                "cat /proc/1/syscall",
                "ls /proc/1/fd",
                "ls /proc/1/root/",
                "ls /proc/1/cwd/",
                "ls /proc/1/map_files",
                "readlink /proc/1/exe",
                "cat /proc/$PPID/environ",
                "ls /proc/$PPID/fd",
                "ls /proc/$PPID/root/",
                "cat /proc/kcore | head -c 1 | grep -q .",
                "cat /proc/keys | grep .",
                "cat /proc/kmsg",
                "cat /proc/kpagecount",
                "cat /proc/timer_list | grep .",
                "cat /proc/vmallocinfo",
                "cat /proc/slabinfo",
                "mkdir /tmp/c && mount -t cgroup2 none /tmp/c",
                "mkdir /tmp/d && mount -t proc none /tmp/d",
                "ls /dev/kvm",
                "ls /dev/fuse",
                "ls /dev/net/tun",
                "ls /dev/mem",
                "ls /dev/userfaultfd",
                "ls /dev/vda",
                "ls /dev/kmsg",
                "ls /dev/loop-control",
            ],
        )
        .await;
        if fixture.is_docker() {
            let writes = ["mkdir /sys/fs/cgroup/pids/x", "mkdir /sys/fs/cgroup/x"];
            none_succeeds(&sandbox, &writes).await;
        } else {
            none_succeeds(&sandbox, &SHOWN_IN_CONTAINERS).await;
        }
        assert_eq!(sh(&sandbox, "ls /proc | grep -cE '^[0-9]+$'").await.stdout.trim().len(), 1);
        sandbox.stop().await.unwrap();
        assert_eq!(text(std::path::Path::new("/proc/sys/kernel/core_pattern")), before);
    }
}

#[tokio::test]
async fn the_hosts_network_is_shared_only_as_far_as_it_was_asked_for() {
    for mut fixture in Fixture::each_user() {
        fixture.spec.config.local.network = Network::Full;
        let name = format!("polos-full-{}-{}", std::process::id(), fixture.is_nobodys());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        let listener = UnixListener::bind_addr(&address).unwrap();
        listener.set_nonblocking(true).unwrap();
        let tcp = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let Some(sandbox) = fixture.open().await else { return };
        let lines = [
            format!(
                "perl -MSocket -e 'socket(S, PF_UNIX, SOCK_STREAM, 0) or exit 1; \
                 connect(S, pack(\"Sxa*\", 1, \"{name}\")) or exit 1'"
            ),
            "perl -MSocket -e 'socket(S, 17, SOCK_RAW, 0) or exit 1'".to_owned(),
            "perl -MSocket -e 'socket(S, PF_INET, SOCK_RAW, 1) or exit 1'".to_owned(),
            "perl -MSocket -e 'socket(S, 40, SOCK_STREAM, 0) or exit 1'".to_owned(),
            "perl -MSocket -e 'socket(S, 38, 5, 0) or exit 1'".to_owned(),
            "ip link set lo down".to_owned(),
            "perl -MSocket -e 'socket(S, 2, 1, 0); bind(S, pack_sockaddr_in(80, INADDR_ANY)) or exit 1'"
                .to_owned(),
        ];
        none_succeeds(&sandbox, &lines.each_ref().map(String::as_str)).await;
        let port = tcp.local_addr().unwrap().port();
        let reach = format!("exec 3<>/dev/tcp/127.0.0.1/{port}");
        assert_eq!(sh(&sandbox, &reach).await.exit_code, Some(0), "it was asked for");
        sandbox.stop().await.unwrap();
        assert!(listener.accept().is_err());
    }
}

#[tokio::test]
async fn the_file_tools_do_not_wait_for_what_never_comes() {
    for fixture in Fixture::each() {
        on_host(
            &fixture,
            "cd work && mkfifo pipe && ln -s pipe link && mkdir loop && ln -s . loop/loop && \
             ln -s loop2 loop3 && ln -s loop3 loop2 && truncate -s 1T huge && ln -s /dev/zero zero",
        );
        let Some(sandbox) = fixture.open().await else { return };
        let looking = async {
            for path in ["pipe", "link", "loop", "loop2", "huge", "zero", "/dev/zero", "/proc/kmsg"]
            {
                let read = ReadRequest { path: path.to_owned(), ..ReadRequest::default() };
                assert!(sandbox.read(read).await.is_err(), "{path}");
                let edit = EditRequest { path: path.to_owned(), ..EditRequest::default() };
                assert!(sandbox.edit(edit).await.is_err(), "{path}");
            }
            let glob = serde_json::json!({"pattern": "**/*"});
            let glob: GlobRequest = serde_json::from_value(glob).unwrap();
            sandbox.glob(glob).await.unwrap();
            let grep = serde_json::json!({"pattern": "hello"});
            let grep: GrepRequest = serde_json::from_value(grep).unwrap();
            sandbox.grep(grep).await.unwrap();
        };
        tokio::time::timeout(Duration::from_secs(20), looking).await.expect("a tool hangs");
        sandbox.stop().await.unwrap();
    }
}

#[tokio::test]
async fn a_command_that_takes_the_toolboxs_rights_away_is_forgotten_by_nobody() {
    for fixture in Fixture::each() {
        let Some(sandbox) = fixture.open().await else { return };
        let count = "echo x >> count; chmod 000 /.polos/state/commands /.polos/state/commands/* \
                     /.polos/state 2>/dev/null; true";
        sandbox.exec(crate::boxes::request("once", count), |_| {}).await.unwrap();
        // Whatever is said of it, it does not run again.
        let _ = sandbox.exec(crate::boxes::request("once", count), |_| {}).await;
        assert_eq!(text(&fixture.work().join("count")), "x\n");
        assert_eq!(sh(&sandbox, "echo on").await.stdout, "on\n");
        sandbox.stop().await.unwrap();
        let again = fixture.open().await.unwrap();
        let _ = again.exec(crate::boxes::request("once", count), |_| {}).await;
        assert_eq!(text(&fixture.work().join("count")), "x\n");
        again.stop().await.unwrap();
    }
}
