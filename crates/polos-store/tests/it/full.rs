//! A full disk: nothing is acknowledged that is not there, reads go on, and with some space freed
//! writes do too.

use crate::child::{Running, arguments, start};
use polos_store::sqlite::{Options, Store};
use polos_store::{Batch, Read as _, Store as _};
use std::path::Path;
use std::process::Command;

/// Runs the writing child under a shell that does `before` first.
fn under_shell(shell: &mut Command, before: &str, directory: &Path) -> Running {
    let child = arguments("writes");
    shell.arg("-c").arg(format!("{before}; exec \"$0\" \"$@\""));
    shell.arg(std::env::current_exe().unwrap()).args(child);
    start(std::mem::replace(shell, Command::new("true")), directory)
}

/// Reads what the child says until the disk is full: how many batches it was told are durable.
fn until_full(child: &mut Running) -> u64 {
    child.next("open").unwrap();
    let mut acked = 0;
    while let Some(line) = child.next("") {
        if let Some(number) = line.strip_prefix("acked ") {
            acked = number.parse().unwrap();
        } else if let Some(error) = line.strip_prefix("failed ") {
            assert!(error.starts_with("Unavailable"), "{error}");
            assert!(error.contains("free some space"), "{error}");
            break;
        }
    }
    assert_eq!(child.next("holds").unwrap(), acked.to_string());
    acked
}

/// The kernel's limit on a file's size stands for the disk: writes fail in the middle.
#[test]
fn a_file_that_may_not_grow_is_an_error_and_no_loss() {
    let directory = tempfile::tempdir().unwrap();
    // Blocks of 512 bytes; without the trap the signal of the limit would end the process.
    let limit = "trap '' XFSZ; ulimit -f 2000";
    let mut child = under_shell(&mut Command::new("sh"), limit, directory.path());
    let acked = until_full(&mut child);
    assert!(acked > 10, "only {acked}");
    drop(child);
    let store = Store::open(directory.path(), Options::default()).unwrap();
    assert_eq!(store.check().unwrap(), [""; 0]);
    assert_eq!(store.running_runs().unwrap().len() as u64, acked);
    let commands = crate::child::batch(acked + 1);
    store.commit(Batch { owner: store.incarnation(), commands }).unwrap();
}

/// A file system of 4 MiB, in a mount namespace of its own. Where the kernel grants none, there is
/// nothing to see here: the test above stands for it.
#[test]
fn a_full_disk_recovers_when_space_is_freed() {
    let granted = Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount", "true"])
        .status()
        .is_ok_and(|status| status.success());
    if !granted {
        eprintln!("no user namespaces here: not run");
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let mut shell = Command::new("unshare");
    shell.args(["--user", "--map-root-user", "--mount", "sh"]);
    let place = directory.path().display();
    let mount = format!(
        "mount -t tmpfs -o size=4m none '{place}' && \
         dd if=/dev/zero of='{place}/ballast' bs=1024 count=1024 2>/dev/null"
    );
    let mut child = under_shell(&mut shell, &mount, directory.path());
    let acked = until_full(&mut child);
    assert!(acked > 10, "only {acked}");
    assert_eq!(child.next("recovered").unwrap(), (acked + 1).to_string());
}
