//! Attempts to get out of a box, made within it; what counts is what happened outside.

use std::net::{TcpListener, UdpSocket};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::fs::symlink;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::time::Duration;

use polos_sandbox::Sandbox;
use polos_toolbox::message::{Ended, ReadRequest, WriteRequest};

use crate::boxes::{Fixture, request, sh, text};

/// Runs lines of which each must fail, and says which did not.
async fn all_fail(sandbox: &Sandbox, lines: &[&str]) {
    let mut succeeded = Vec::new();
    for line in lines {
        let result = sh(sandbox, line).await;
        if result.exit_code == Some(0) {
            succeeded.push((*line, result.stdout));
        }
    }
    assert!(succeeded.is_empty(), "{succeeded:#?}");
}

#[tokio::test]
async fn files_outside_are_neither_seen_nor_written() {
    let fixture = Fixture::new();
    let outside = fixture.outside().display().to_string();
    symlink("/etc/shadow", fixture.work().join("shadow")).unwrap();
    symlink(fixture.outside(), fixture.work().join("out")).unwrap();
    symlink("/proc/1/root", fixture.work().join("root")).unwrap();
    let Some(sandbox) = fixture.open().await else { return };
    let lines = [
        format!("cat {outside}/secret"),
        format!("ls {outside}"),
        format!("echo x > {outside}/new"),
        "cat /etc/shadow".to_owned(),
        "cat shadow".to_owned(),
        "cat out/secret".to_owned(),
        "echo x > out/new".to_owned(),
        "cat ../outside/secret".to_owned(),
        "cat root/etc/passwd".to_owned(),
        format!("cat /proc/1/root{outside}/secret"),
        format!("cat /proc/self/root{outside}/secret"),
        format!("cat /proc/1/cwd/..{outside}/secret"),
        "ls ~root/.ssh".to_owned(),
        "ls /root".to_owned(),
        "ls /home/*/.ssh".to_owned(),
        "ls /var/lib".to_owned(),
        "ls /boot".to_owned(),
        "ls /sys/kernel".to_owned(),
        "ls /run/docker.sock".to_owned(),
        "ls /var/run/docker.sock".to_owned(),
        "touch /usr/bin/x".to_owned(),
        "touch /etc/x".to_owned(),
        "touch /x".to_owned(),
        "mkdir /y".to_owned(),
        "chmod 777 /usr/bin".to_owned(),
        "chmod 777 /etc/passwd".to_owned(),
        "ln /usr/bin/env hard".to_owned(),
        "echo x > /proc/sys/kernel/core_pattern".to_owned(),
        "echo x > /proc/sysrq-trigger".to_owned(),
        "cat /proc/kcore | head -c 1 | grep -q .".to_owned(),
        "cat /proc/kmsg".to_owned(),
        "cat /dev/mem".to_owned(),
        "ls /dev/vda".to_owned(),
        "cat /proc/1/environ".to_owned(),
        "ls /proc/1/fd".to_owned(),
        "ls /proc/1/cwd".to_owned(),
        "readlink /proc/1/exe".to_owned(),
        "cat /proc/1/maps".to_owned(),
        "cat /proc/1/mem".to_owned(),
        "ls /proc/$PPID/fd".to_owned(),
        "ls /proc/$PPID/cwd/".to_owned(),
        "cat /proc/$PPID/environ".to_owned(),
    ];
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    all_fail(&sandbox, &lines).await;
    sandbox.stop().await.unwrap();
    assert_eq!(text(&fixture.outside().join("secret")), "canary");
    assert_eq!(std::fs::read_dir(fixture.outside()).unwrap().count(), 1);
}

#[tokio::test]
async fn the_file_tools_follow_no_link_outwards() {
    let fixture = Fixture::new();
    symlink(fixture.outside(), fixture.work().join("out")).unwrap();
    symlink(fixture.outside().join("secret"), fixture.work().join("link")).unwrap();
    let outside = fixture.outside().display().to_string();
    let Some(sandbox) = fixture.open().await else { return };
    let paths = [
        "out/secret".to_owned(),
        "link".to_owned(),
        "../outside/secret".to_owned(),
        format!("{outside}/secret"),
        "/workspace/../etc/passwd".to_owned(),
        "/proc/self/root/etc/passwd".to_owned(),
        "/etc/passwd".to_owned(),
    ];
    for path in paths {
        let read = ReadRequest { path: path.clone(), ..ReadRequest::default() };
        assert!(sandbox.read(read).await.is_err(), "{path}");
        let write =
            WriteRequest { path: path.clone(), content: "x".to_owned(), ..WriteRequest::default() };
        assert!(sandbox.write(write).await.is_err(), "{path}");
    }
    sandbox.stop().await.unwrap();
    assert_eq!(text(&fixture.outside().join("secret")), "canary");
}

#[tokio::test]
async fn hooks_and_configuration_of_git_stay_as_they_are() {
    let fixture = Fixture::new();
    let status = std::process::Command::new("/bin/sh")
        .args(["-c", "git init -q . && git init -q sub && rm -rf sub/.git/hooks"])
        .current_dir(fixture.work())
        .status();
    assert!(status.unwrap().success());
    let config = text(&fixture.work().join(".git/config"));
    let Some(sandbox) = fixture.open().await else { return };
    let result = sh(&sandbox, "echo x > .git/info/x && git add file && git status").await;
    assert_eq!(result.exit_code, Some(0), "{result:?}");
    all_fail(
        &sandbox,
        &[
            "echo x > .git/hooks/pre-commit",
            "mkdir -p .git/hooks/x",
            "echo x >> .git/config",
            "git config core.hooksPath /workspace",
            "chmod 777 .git/config",
            "rm -f .git/config",
            "mv .git/config .git/x",
            "mv .git/hooks .git/x",
            "rm -rf .git/hooks",
            "mv .git other",
            "rm -rf .git",
            "ln -sfn /tmp .git/hooks",
            "echo /tmp > .git/commondir",
            "rm .git/commondir",
            "cp -r .git new && mv -T new .git",
            "mv -T --exchange .git sub",
            "echo x > sub/.git/hooks/pre-commit",
            "echo x >> sub/.git/config",
            "mv sub/.git sub/x",
        ],
    )
    .await;
    sandbox.stop().await.unwrap();
    let work = fixture.work();
    assert_eq!(text(&work.join(".git/config")), config);
    assert!(!work.join(".git/hooks/pre-commit").exists());
    assert!(!work.join("sub/.git/hooks/pre-commit").exists());
    assert!(!work.join(".git/commondir").exists());
}

#[tokio::test]
async fn a_link_in_the_place_of_what_is_protected_is_refused() {
    let fixture = Fixture::new();
    std::fs::create_dir(fixture.work().join(".git")).unwrap();
    symlink(fixture.outside(), fixture.work().join(".git/hooks")).unwrap();
    match Sandbox::open(fixture.spec.clone()).await {
        Ok(sandbox) => {
            // Without mounts nothing is mounted over.
            assert!(!sandbox.report().namespaces);
            sandbox.stop().await.unwrap();
        }
        Err(error) => assert!(error.to_string().contains("symbolic link"), "{error}"),
    }
    assert_eq!(std::fs::read_dir(fixture.outside()).unwrap().count(), 1);
}

#[tokio::test]
async fn what_is_masked_is_not_seen_even_in_the_workspace() {
    let mut fixture = Fixture::new();
    let work = fixture.work();
    std::fs::create_dir_all(work.join(".polos/deep")).unwrap();
    std::fs::write(work.join(".polos/deep/token"), "canary").unwrap();
    std::fs::write(work.join("key"), "canary").unwrap();
    let socket = UnixListener::bind(work.join("docker.sock")).unwrap();
    fixture.spec.masked = vec![work.join(".polos"), work.join("key")];
    let Some(sandbox) = fixture.open().await else { return };
    all_fail(
        &sandbox,
        &[
            "cat .polos/deep/token",
            "ls .polos",
            "echo x > .polos/new",
            "cat key",
            "echo x > key",
            "rm -f key",
            "mv key other && cat other",
            "mv .polos other && cat other/deep/token",
            "rmdir .polos",
            "python3 -c 'import socket; socket.socket(socket.AF_UNIX).connect(\"docker.sock\")'",
        ],
    )
    .await;
    let read = ReadRequest { path: ".polos/deep/token".to_owned(), ..ReadRequest::default() };
    assert!(sandbox.read(read).await.is_err());
    sandbox.stop().await.unwrap();
    assert_eq!(text(&work.join(".polos/deep/token")), "canary");
    assert_eq!(text(&work.join("key")), "canary");
    drop(socket);
}

#[tokio::test]
async fn nothing_reaches_the_network() {
    let fixture = Fixture::new();
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    let name = format!("polos-test-{}", std::process::id());
    let address = SocketAddr::from_abstract_name(&name).unwrap();
    let abstract_socket = UnixListener::bind_addr(&address).unwrap();
    tcp.set_nonblocking(true).unwrap();
    udp.set_nonblocking(true).unwrap();
    abstract_socket.set_nonblocking(true).unwrap();
    let Some(sandbox) = fixture.open().await else { return };
    let (tcp_port, udp_port) = (tcp.local_addr().unwrap().port(), udp.local_addr().unwrap().port());
    let lines = [
        format!("exec 3<>/dev/tcp/127.0.0.1/{tcp_port} && echo x >&3"),
        format!("exec 3<>/dev/udp/127.0.0.1/{udp_port} && echo x >&3"),
        "exec 3<>/dev/tcp/169.254.169.254/80".to_owned(),
        "exec 3<>/dev/tcp/1.1.1.1/53".to_owned(),
        "getent hosts example.com".to_owned(),
        "curl -s -m 2 http://127.0.0.1".to_owned(),
        "perl -e 'use Socket; socket(S, PF_INET, SOCK_STREAM, 0) or exit 1'".to_owned(),
        "perl -e 'use Socket; socket(S, PF_INET6, SOCK_DGRAM, 0) or exit 1'".to_owned(),
        "perl -e 'use Socket; socket(S, 17, SOCK_RAW, 0) or exit 1'".to_owned(),
        "perl -e 'use Socket; socket(S, 16, SOCK_RAW, 0) or exit 1'".to_owned(),
        "perl -e 'use Socket; socket(S, 40, SOCK_STREAM, 0) or exit 1'".to_owned(),
        format!(
            "perl -e 'use Socket; socket(S, PF_UNIX, SOCK_STREAM, 0) or exit 1; \
             connect(S, pack(\"Sxa*\", 1, \"{name}\")) or exit 1'"
        ),
    ];
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    all_fail(&sandbox, &lines).await;
    let result = sh(&sandbox, "tail -n +3 /proc/net/dev | grep -v lo: | wc -l").await;
    assert_eq!(result.stdout.trim(), "0");
    sandbox.stop().await.unwrap();
    assert!(tcp.accept().is_err());
    assert!(udp.recv(&mut [0; 8]).is_err());
    assert!(abstract_socket.accept().is_err());
}

#[tokio::test]
async fn the_worker_is_out_of_reach() {
    let fixture = Fixture::new();
    let Some(sandbox) = fixture.open().await else { return };
    let own = std::process::id();
    let lines = [
        format!("kill -0 {own}"),
        format!("cat /proc/{own}/environ"),
        format!("ls /proc/{own}"),
        "kill -9 1; kill -STOP 1; sleep 0.1; kill -TERM 1; exit 1".to_owned(),
        "perl -e 'exit(syscall(101, 16, 1, 0, 0) == 0 ? 0 : 1)'".to_owned(),
        "perl -e 'exit(syscall(101, 0, 0, 0, 0) == 0 ? 0 : 1)'".to_owned(),
        "prlimit --pid 1 --nofile=1:1".to_owned(),
    ];
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    all_fail(&sandbox, &lines).await;
    assert_eq!(sh(&sandbox, "echo alive").await.stdout, "alive\n");
    sandbox.stop().await.unwrap();
}

#[tokio::test]
async fn no_new_privileges_namespaces_or_devices() {
    let fixture = Fixture::new();
    let Some(sandbox) = fixture.open().await else { return };
    all_fail(
        &sandbox,
        &[
            "mount -t tmpfs none /tmp",
            "mount --bind /tmp /workspace",
            "umount /workspace",
            "umount /proc",
            "unshare -Ur true",
            "unshare -m true",
            "unshare -n true",
            "nsenter -t 1 -m true",
            "chroot / true",
            "mknod d c 1 3",
            "mknod d b 254 0",
            "chown 0:0 file",
            "su -c true",
            "sudo -n true",
            "passwd -d root",
            "hostname other",
            "date -s 2000-01-01",
            "dmesg",
            "swapon /dev/zero",
            "perl -e '$< = 0; $> = 0; exit($> == 0 ? 0 : 1)'",
            // bpf, io_uring_setup, userfaultfd, perf_event_open, keyctl, add_key
            "perl -e 'exit(syscall(321, 0, 0, 0) >= 0 ? 0 : 1)'",
            "perl -e '$p = \"\\0\" x 200; exit(syscall(425, 4, $p) >= 0 ? 0 : 1)'",
            "perl -e 'exit(syscall(323, 0) >= 0 ? 0 : 1)'",
            "perl -e '$p = \"\\0\" x 200; exit(syscall(298, $p, 0, -1, -1, 0) >= 0 ? 0 : 1)'",
            "perl -e 'exit(syscall(250, 0, -3, 1) >= 0 ? 0 : 1)'",
            // clone with a user namespace, clone3, x32's getpid
            "perl -e 'exit(syscall(56, 0x10000011, 0, 0, 0, 0) >= 0 ? 0 : 1)'",
            "perl -e '$p = \"\\0\" x 88; exit(syscall(435, $p, 88) >= 0 ? 0 : 1)'",
            "perl -e 'syscall(0x40000000 + 39); exit 0'",
        ],
    )
    .await;
    let line = "grep -E '^(Cap(Eff|Prm|Inh|Bnd|Amb)|NoNewPrivs|Seccomp):' /proc/self/status | \
                tr -d '\\t' | tr '\\n' ' '; ls /proc/self/fd | wc -l; cat /proc/self/uid_map | tr -s ' '";
    let result = sh(&sandbox, line).await;
    let zero = "0000000000000000";
    let expected = format!(
        "CapInh:{zero} CapPrm:{zero} CapEff:{zero} CapBnd:{zero} CapAmb:{zero} NoNewPrivs:1 \
         Seccomp:2 4\n 1000 {} 1\n",
        sandbox.report().uid
    );
    assert_eq!(result.stdout, expected);
    assert_ne!(sandbox.report().uid, 0);
    sandbox.stop().await.unwrap();
}

#[tokio::test]
async fn the_environment_is_built_from_nothing() {
    let mut fixture = Fixture::new();
    // Of this process; `PATH` is there and differs, as does whatever the test runner sets.
    assert!(std::env::var_os("CARGO_MANIFEST_DIR").is_some());
    fixture.spec.config.local.env.insert("OWN".to_owned(), "1".to_owned());
    let Some(sandbox) = fixture.open().await else { return };
    let result = sh(&sandbox, "env | cut -d= -f1 | sort | tr '\\n' ' '").await;
    assert!(!result.stdout.contains("CARGO"), "{result:?}");
    assert!(result.stdout.contains("OWN "), "{result:?}");
    sandbox.stop().await.unwrap();
}

#[tokio::test]
async fn fork_bombs_memory_and_output_are_bounded() {
    let mut fixture = Fixture::new();
    fixture.spec.config.local.limits.processes = 40;
    fixture.spec.config.local.limits.memory_bytes = 128 << 20;
    fixture.spec.config.local.limits.file_bytes = 80 << 20;
    let Some(sandbox) = fixture.open().await else { return };
    let mut bomb = request("bomb", "bomb() { bomb | bomb & }; bomb; sleep 30");
    bomb.timeout_ms = Some(1_000);
    sandbox.exec(bomb, |_| {}).await.unwrap();
    let line = "for i in $(seq 100); do sleep 20 & done 2>/dev/null; ls -d /proc/[0-9]* | wc -l";
    let mut many = request("many", line);
    many.timeout_ms = Some(3_000);
    sandbox.exec(many, |_| {}).await.unwrap();
    let hog = sh(&sandbox, "perl -e '$x = \"x\" x 1_000_000_000; print length $x'").await;
    assert_ne!(hog.exit_code, Some(0), "{hog:?}");
    let file = sh(&sandbox, "head -c 120m /dev/zero > big; stat -c %s big").await;
    assert!(std::fs::metadata(fixture.work().join("big")).unwrap().len() <= 80 << 20, "{file:?}");
    let tmp =
        sh(&sandbox, "for i in $(seq 20); do head -c 30m /dev/zero > /tmp/$i || exit 9; done")
            .await;
    assert_ne!(tmp.exit_code, Some(0), "{tmp:?}");
    sh(&sandbox, "rm -f /tmp/*").await;
    let loud = sh(&sandbox, "yes 0123456789abcdef | head -c 100000000").await;
    assert_eq!(loud.ended, Ended::OutputLimit, "{:?} {}", loud.truncated, loud.why);
    assert!(loud.stdout.len() < 256 * 1024);
    assert_eq!(sh(&sandbox, "echo alive").await.stdout, "alive\n");
    sandbox.stop().await.unwrap();
}

#[tokio::test]
async fn nothing_survives_a_time_limit_or_the_box() {
    let fixture = Fixture::new();
    let Some(sandbox) = fixture.open().await else { return };
    let mut exec = request(
        "stubborn",
        "trap '' TERM INT HUP; (trap '' TERM; setsid nohup sleep 1008 &) ; \
         (setsid sh -c 'trap \"\" TERM; sleep 1008' &); while :; do sleep 1008; done",
    );
    exec.timeout_ms = Some(300);
    sandbox.exec(exec, |_| {}).await.unwrap();
    let line = "cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' '\\n' | grep -cx '100[8]'";
    assert_eq!(sh(&sandbox, line).await.stdout, "0\n");
    let mut exec = request("left", "setsid sleep 1009 & setsid sleep 1009");
    exec.background = true;
    sandbox.exec(exec, |_| {}).await.unwrap();
    sandbox.stop().await.unwrap();
    let host = std::process::Command::new("/bin/sh")
        .args(["-c", "cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' ' | grep -c '^sleep 100[89]' || true"])
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&host.stdout).trim(), "0");
}

#[tokio::test]
async fn a_killed_keeper_takes_its_box_along() {
    let fixture = Fixture::new();
    let Some(sandbox) = fixture.open().await else { return };
    let mut exec = request("left", "setsid sleep 1010 & echo on > beat; sleep 1010");
    exec.background = true;
    sandbox.exec(exec, |_| {}).await.unwrap();
    let state: serde_json::Value =
        serde_json::from_str(&text(&fixture.spec.folder.join("box.json"))).unwrap();
    let keeper = i32::try_from(state["keeper"]["pid"].as_i64().unwrap()).unwrap();
    let pid = rustix::process::Pid::from_raw(keeper).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    let deadline = std::time::Instant::now() + Duration::from_secs(10);
    while sandbox.lost().is_none() {
        assert!(std::time::Instant::now() < deadline, "the box outlives its keeper");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    drop(sandbox);
    let again = fixture.open().await.unwrap();
    assert!(!again.was_attached());
    again.stop().await.unwrap();
}

#[tokio::test]
async fn the_toolboxs_state_is_out_of_the_commands_reach() {
    let fixture = Fixture::new();
    let Some(sandbox) = fixture.open().await else { return };
    all_fail(
        &sandbox,
        &[
            "echo x >> /.polos/state/ledger",
            "rm -rf /.polos/state/commands",
            "find /.polos/state -type f -name intent.json -delete",
            "echo x > /.polos/state/commands/x",
            "perl -e 'use Socket; socket(S, PF_UNIX, SOCK_STREAM, 0) or exit 1; \
         connect(S, pack_sockaddr_un(\"/.polos/state/toolbox.sock\")) or exit 1'",
        ],
    )
    .await;
    sandbox.stop().await.unwrap();
}

#[tokio::test]
async fn the_host_does_not_hear_terminals() {
    let fixture = Fixture::new();
    let Some(sandbox) = fixture.open().await else { return };
    all_fail(
        &sandbox,
        &[
            "perl -e 'exit(ioctl(STDIN, 0x5412, \"x\") ? 0 : 1)'",
            "echo x > /dev/tty",
            "ls /dev/pts/0",
            "cat /dev/console",
        ],
    )
    .await;
    sandbox.stop().await.unwrap();
}
