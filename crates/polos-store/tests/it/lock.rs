//! One server per data directory.

use crate::child::start_self;
use polos_store::sqlite::{Holder, Options, Store, holder};
use polos_store::{Batch, CommitError, OpenError, Store as _};
use polos_testkit::store::sample::command;

#[test]
fn a_second_process_is_told_who_has_the_directory() {
    let directory = tempfile::tempdir().unwrap();
    assert_eq!(holder(directory.path()).unwrap(), None);
    let mut child = start_self("holds", directory.path());
    child.next("open").unwrap();
    let pid = child.process.id();
    let address = "http://127.0.0.1:7777".to_owned();
    let expected = Holder { pid: Some(pid), address: Some(address.clone()) };
    assert_eq!(holder(directory.path()).unwrap(), Some(expected));
    let error = Store::open(directory.path(), Options::default()).unwrap_err();
    assert!(matches!(&error, OpenError::Locked { .. }), "{error}");
    let message = error.to_string();
    assert!(message.contains(&pid.to_string()) && message.contains(&address), "{message}");

    child.process.kill().unwrap();
    child.process.wait().unwrap();
    assert_eq!(holder(directory.path()).unwrap(), None, "what a dead process wrote counts no more");
    let store = Store::open(directory.path(), Options::default()).unwrap();
    store.announce("http://127.0.0.1:8888").unwrap();
    let own = holder(directory.path()).unwrap().unwrap();
    assert_eq!(own.to_string(), format!("process {} at http://127.0.0.1:8888", std::process::id()));
    let second = start_self("holds", directory.path()).next("refused").unwrap();
    assert!(second.contains("http://127.0.0.1:8888"), "{second}");
}

#[test]
fn the_lock_holds_within_one_process_too() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path(), Options::default()).unwrap();
    let second = Store::open(directory.path(), Options::default());
    assert!(matches!(second, Err(OpenError::Locked { .. })));
    drop(store);
    Store::open(directory.path(), Options::default()).unwrap();
}

/// Should the lock ever fail (somebody deleted its file), the database's own fence holds.
#[test]
fn an_owner_that_was_passed_by_is_fenced_off() {
    let directory = tempfile::tempdir().unwrap();
    let old = Store::open(directory.path(), Options::default()).unwrap();
    std::fs::remove_file(directory.path().join("polos.lock")).unwrap();
    let new = Store::open(directory.path(), Options::default()).unwrap();
    assert!(new.incarnation() > old.incarnation());
    let batch = |owner| Batch { owner, commands: vec![command(vec![], vec![])] };
    let error = old.commit(batch(old.incarnation())).unwrap_err();
    assert!(matches!(error, CommitError::Fenced(_)), "{error}");
    assert!(matches!(new.commit(batch(old.incarnation())), Err(CommitError::Fenced(_))));
    new.commit(batch(new.incarnation())).unwrap();
}

#[test]
fn every_opening_is_a_new_incarnation_though_the_clock_goes_back() {
    let directory = tempfile::tempdir().unwrap();
    let mut last = 0;
    for opened_ms in [1_000, 2_000, 1_500, 0] {
        let options = Options { opened_ms, ..Options::default() };
        let incarnation = Store::open(directory.path(), options).unwrap().incarnation();
        assert!(incarnation > last);
        last = incarnation;
    }
    assert_eq!(last, 2_002);
}
