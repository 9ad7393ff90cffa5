//! The data directory: private, and an error that says so when it cannot be written.

use crate::child::{arguments, start};
use polos_store::OpenError;
use polos_store::sqlite::{FILE, Options, Store};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

const NOBODY: u32 = 65_534;

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn what_is_made_is_the_owners_alone() {
    let parent = tempfile::tempdir().unwrap();
    let directory = parent.path().join("deep/data");
    let store = Store::open(&directory, Options::default()).unwrap();
    assert_eq!(mode(&directory), 0o700);
    for file in [FILE, "polos.db-wal", "polos.db-shm", "polos.lock"] {
        assert_eq!(mode(&directory.join(file)), 0o600, "{file}");
    }
    drop(store);
    set_mode(&directory.join(FILE), 0o644);
    let _store = Store::open(&directory, Options::default()).unwrap();
    assert_eq!(mode(&directory.join(FILE)), 0o600, "a restored copy is closed again");
}

/// Opens the store in a process that has no special rights, whoever runs the tests.
fn refusal(directory: &Path) -> String {
    let bin = tempfile::tempdir().unwrap();
    let program = bin.path().join("it");
    std::fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    set_mode(bin.path(), 0o755);
    set_mode(&program, 0o755);
    let mut command = Command::new(program);
    command.args(arguments("holds")).stdin(std::process::Stdio::null());
    if is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    start(command, directory).next("refused").unwrap()
}

fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt as _;
    std::fs::metadata("/proc/self").unwrap().uid() == 0
}

#[test]
fn a_read_only_directory_is_refused_in_words() {
    let parent = tempfile::tempdir().unwrap();
    set_mode(parent.path(), 0o755);
    let directory = parent.path().join("data");
    drop(Store::open(&directory, Options::default()).unwrap());
    // What is there may be read, and none of it written.
    set_mode(&directory, 0o555);
    for file in [FILE, "polos.lock"] {
        set_mode(&directory.join(file), 0o444);
    }
    let message = refusal(&directory);
    assert!(message.contains("cannot be used"), "{message}");
    assert!(message.to_lowercase().contains("permission denied"), "{message}");
    let message = refusal(&directory.join("new"));
    assert!(message.to_lowercase().contains("permission denied"), "{message}");
    set_mode(&directory, 0o755);
}

#[test]
fn a_directory_that_is_a_file_is_refused() {
    let parent = tempfile::tempdir().unwrap();
    let file = parent.path().join("data");
    std::fs::write(&file, "hello").unwrap();
    let error = Store::open(&file, Options::default()).unwrap_err();
    assert!(matches!(&error, OpenError::Directory { .. }), "{error}");
}
