//! No file that a box makes gives anybody on the host the rights of its owner.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::{none_succeeds, on_host};
use crate::boxes::{Fixture, sh};

/// Files beneath a folder that give away their owner's rights.
fn with_set_id(folder: &Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let metadata = entry.metadata().unwrap();
        if metadata.permissions().mode() & 0o6000 != 0 {
            found.push(entry.path());
        }
        if metadata.is_dir() {
            found.extend(with_set_id(&entry.path()));
        }
    }
    found
}

#[tokio::test]
async fn no_way_of_making_a_file_sets_the_bits() {
    for fixture in Fixture::each() {
        let Some(sandbox) = fixture.open().await else { return };
        let lines = [
            "cp /bin/sh a; chmod 4755 a",
            "cp /bin/sh b; chmod u+s b",
            "cp /bin/sh c; chmod g+s c",
            "install -m 4755 /bin/sh d",
            "mkdir -m 2777 e",
            "mkfifo -m 4755 f",
            "perl -e 'chmod 04755, \"file\" or exit 1'",
            "perl -e 'use Fcntl; sysopen(F, \"g\", O_CREAT | O_WRONLY, 04755) or exit 1'",
            "perl -e 'open(F, \">\", \"h\"); exit(syscall(91, fileno(F), 04755) == 0 ? 0 : 1)'",
            "perl -e 'exit(syscall(90, \"file\", 04755) == 0 ? 0 : 1)'",
            "perl -e 'exit(syscall(268, -100, \"file\", 04755) == 0 ? 0 : 1)'",
            "perl -e 'exit(syscall(452, -100, \"file\", 04755, 0) == 0 ? 0 : 1)'",
            "perl -e 'exit(syscall(85, \"i\", 04755) >= 0 ? 0 : 1)'",
            "perl -e 'exit(syscall(2, \"j\", 0101, 04755) >= 0 ? 0 : 1)'",
            "perl -e 'exit(syscall(133, \"k\", 0104755, 0) == 0 ? 0 : 1)'",
            "perl -e 'exit(syscall(259, -100, \"l\", 0104755, 0) == 0 ? 0 : 1)'",
            "perl -e '$how = pack(\"QQQ\", 0101, 04755, 0); \
             exit(syscall(437, -100, \"m\", $how, 24) >= 0 ? 0 : 1)'",
            "perl -e 'exit(syscall(257, -100, \".\", 020200002, 04755) >= 0 ? 0 : 1)'",
            "cp /bin/sh n; tar -cf - --mode=4755 n | tar -xpf - -C /workspace",
            "setfattr -n security.capability -v 0x0100000200200000000000000000000000000000 file",
        ];
        for line in lines {
            sh(&sandbox, line).await;
        }
        assert_eq!(with_set_id(&fixture.work()), Vec::<std::path::PathBuf>::new());
        // What is no danger still works.
        let fine = "chmod 755 file && chmod +t . && mkdir -m 1777 t && install -m 755 /bin/sh o";
        assert_eq!(sh(&sandbox, fine).await.exit_code, Some(0));
        sandbox.stop().await.unwrap();
        assert_eq!(with_set_id(&fixture.work()), Vec::<std::path::PathBuf>::new());
        let capabilities = "getfattr -n security.capability work/file 2>/dev/null || true";
        assert_eq!(on_host(&fixture, capabilities), "");
    }
}

#[tokio::test]
async fn programs_and_devices_of_the_host_give_nothing() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    for fixture in Fixture::each() {
        on_host(
            &fixture,
            "cd work && cp /usr/bin/id id && cp /usr/bin/perl suidperl && chmod 6755 id suidperl && \
             mknod memory c 1 1 && mknod disk b 254 0 && mknod null c 1 3 && chmod 666 memory disk null",
        );
        let Some(sandbox) = fixture.open().await else { return };
        assert_eq!(sh(&sandbox, "./id -u").await.stdout, "1000\n");
        none_succeeds(
            &sandbox,
            &[
                "./suidperl -e 'exit($> == 0 ? 0 : 1)'",
                "./suidperl -e '$> = 0; exit($> == 0 ? 0 : 1)'",
                "head -c 1 memory",
                "head -c 1 disk",
                "echo x > null",
                "chown 0:0 file",
                "chgrp 0 file",
                "perl -e '$> = 65534; exit($> == 65534 ? 0 : 1)'",
                "setpriv --reuid 0 true",
                "perl -e 'exit(syscall(105, 0) == 0 ? 0 : 1)'",
                "perl -e 'exit(syscall(116, 1, pack(\"L\", 0)) == 0 ? 0 : 1)'",
            ],
        )
        .await;
        sandbox.stop().await.unwrap();
    }
}
