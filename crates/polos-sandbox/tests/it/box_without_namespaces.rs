//! A box where user namespaces cannot be made, as in most containers.

use std::os::unix::fs::{PermissionsExt as _, chown};

use polos_sandbox::config::Isolation;
use polos_sandbox::{Level, OpenError, Sandbox};

use crate::boxes::{Fixture, request, sh, skip, text};

/// Becomes a process whose user namespace allows no further ones, then the program.
const WRAPPER: &str = r#"#!/usr/bin/perl
my ($uid, $gid, $parent) = ($<, $( + 0, $$);
pipe(my $read, my $write);
unless (my $child = fork) {
    close $write; sysread $read, my $byte, 1;
    my $map = sub { open(my $file, ">", "/proc/$parent/$_[0]") or die; print $file $_[1]; };
    $map->("setgroups", "deny") if $uid;
    $map->("uid_map", $uid ? "$uid $uid 1" : "0 0 4294967295");
    $map->("gid_map", $uid ? "$gid $gid 1" : "0 0 4294967295");
    exit 0;
}
syscall(272, 0x10000000) == 0 or die "unshare: $!";
close $write; wait;
open(my $limit, ">", "/proc/sys/user/max_user_namespaces") or die; print $limit "0"; close $limit;
exec "PROGRAM", @ARGV;
"#;

fn fixture() -> Fixture {
    let mut fixture = Fixture::new();
    let program = fixture.dir.path().join("program");
    let real = fixture.spec.program.take().unwrap();
    std::fs::write(&program, WRAPPER.replace("PROGRAM", &real.display().to_string())).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    fixture.spec.program = Some(program);
    if rustix::process::geteuid().is_root() {
        for name in ["", "file"] {
            chown(fixture.work().join(name), Some(12_345), Some(12_345)).unwrap();
        }
    }
    fixture
}

async fn open(fixture: &Fixture) -> Option<Sandbox> {
    match Sandbox::open(fixture.spec.clone()).await {
        Ok(sandbox) => {
            assert_eq!(sandbox.report().level, Level::L2, "{:?}", sandbox.report());
            assert_ne!(sandbox.report().uid, 0);
            Some(sandbox)
        }
        Err(OpenError::Refused(why)) => {
            skip(&why);
            None
        }
        Err(error) => panic!("{error}"),
    }
}

#[tokio::test]
async fn landlock_and_seccomp_hold_by_themselves() {
    let fixture = fixture();
    let outside = fixture.outside().display().to_string();
    let open_to_all = std::fs::Permissions::from_mode(0o777);
    std::fs::set_permissions(fixture.outside(), open_to_all).unwrap();
    let Some(sandbox) = open(&fixture).await else { return };
    let result = sh(&sandbox, "cat file && echo new > made").await;
    assert_eq!(result.stdout, "hello\n", "{result:?}");
    assert_eq!(text(&fixture.work().join("made")), "new\n");
    let line = "git init -q r && cd r && git commit -q --allow-empty -m x && git log --format=%an";
    let result = sh(&sandbox, line).await;
    assert_eq!(result.stdout, "Polos agent\n", "{result:?}");
    let own = std::process::id();
    let lines = [
        format!("cat {outside}/secret"),
        format!("echo x > {outside}/new"),
        "cat /etc/passwd".to_owned(),
        "echo x > /tmp/polos-escape".to_owned(),
        format!("kill -0 {own}"),
        format!("cat /proc/{own}/environ"),
        format!("readlink /proc/{own}/fd/0"),
        "exec 3<>/dev/tcp/127.0.0.1/22".to_owned(),
        "perl -e 'use Socket; socket(S, PF_INET, SOCK_DGRAM, 0) or exit 1'".to_owned(),
        "perl -e 'exit(syscall(101, 0, 0, 0, 0) == 0 ? 0 : 1)'".to_owned(),
        "unshare -U true".to_owned(),
        format!("echo x >> {}/state/ledger", fixture.spec.folder.display()),
        format!("rm -rf {}/state/commands", fixture.spec.folder.display()),
        format!("ls {}", fixture.spec.folder.display()),
    ];
    for line in lines {
        let result = sh(&sandbox, &line).await;
        assert_ne!(result.exit_code, Some(0), "{line}: {result:?}");
    }
    let mut exec = request("left", "setsid sleep 1011 & sleep 1011");
    exec.background = true;
    sandbox.exec(exec, |_| {}).await.unwrap();
    sandbox.stop().await.unwrap();
    let line =
        "cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' ' | grep -c '^sleep 1011' || true";
    let host = std::process::Command::new("/bin/sh").args(["-c", line]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&host.stdout).trim(), "0");
    assert_eq!(std::fs::read_dir(fixture.outside()).unwrap().count(), 1);
}

#[tokio::test]
async fn less_than_is_required_is_refused() {
    let mut fixture = fixture();
    fixture.spec.config.local.isolation = Isolation::Strict;
    let refused = Sandbox::open(fixture.spec.clone()).await;
    let Err(OpenError::Refused(why)) = refused else { panic!("{refused:?}") };
    assert!(why.contains("polos doctor") && why.contains("namespaces"), "{why}");
}
