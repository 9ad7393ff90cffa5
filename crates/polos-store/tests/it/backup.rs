//! Backups: of one moment, while writes go on; and what a restored one is.

use polos_protocol::State;
use polos_store::sqlite::{BackupError, FILE, Options, Store, backup};
use polos_store::{Change, Read as _, Store as _};
use polos_testkit::store::picture::{self, Universe};
use polos_testkit::store::sample::{apply, insert_run, key, record, run, run_row, status};
use std::os::unix::fs::PermissionsExt as _;

fn write(store: &Store, number: u64) {
    let records = (1..=50).map(record).collect();
    apply(
        store,
        vec![
            insert_run(run_row(number), status(State::Completed)),
            Change::AppendRecords(run(number), records),
        ],
    );
}

#[test]
fn a_copy_is_of_one_moment_and_restores() {
    let place = tempfile::tempdir().unwrap();
    let store = Store::open(&place.path().join("data"), Options::default()).unwrap();
    (1..=300).for_each(|number| write(&store, number));
    let universe = Universe {
        namespaces: vec![polos_protocol::Namespace::default()],
        runs: vec![run(1), run(300), run(301)],
        keys: vec![key("step7")],
        ..Universe::default()
    };
    let before = picture::of(&store, &universe).unwrap();
    let copy = place.path().join("copy.db");
    let mut number = 301;
    let mut reports = 0;
    backup(&place.path().join("data"), &copy, |progress| {
        // The store is written while it is copied, and the copy does not see it.
        write(&store, number);
        number += 1;
        reports += 1;
        assert!(progress.done <= progress.total);
    })
    .unwrap();
    assert!(reports > 1, "the copy took one step only: nothing was written meanwhile");
    assert_eq!(std::fs::metadata(&copy).unwrap().permissions().mode() & 0o777, 0o600);
    let error = store.backup(&copy).unwrap_err();
    assert!(matches!(&error, BackupError::Exists(_)), "{error}");

    let restored = place.path().join("restored");
    std::fs::create_dir(&restored).unwrap();
    std::fs::copy(&copy, restored.join(FILE)).unwrap();
    let restored = Store::open(&restored, Options::default()).unwrap();
    assert_eq!(picture::of(&restored, &universe).unwrap(), before);
    assert_eq!(restored.check().unwrap(), [""; 0]);
    assert!(store.run(&universe.namespaces[0], run(301)).unwrap().is_some());
}

/// The original went on after the copy: the copy's next life is none of the original's.
#[test]
fn a_restored_copy_is_a_life_of_its_own() {
    let place = tempfile::tempdir().unwrap();
    let open = |name: &str, opened_ms| {
        let options = Options { opened_ms, ..Options::default() };
        Store::open(&place.path().join(name), options).unwrap()
    };
    let store = open("data", 1_000);
    let copy = place.path().join("copy.db");
    store.backup(&copy).unwrap();
    let mut lives = vec![store.incarnation()];
    drop(store);
    lives.extend([1_001, 1_001, 1_001].map(|time| open("data", time).incarnation()));
    for (name, time) in [("first", 2_000), ("second", 3_000)] {
        std::fs::create_dir(place.path().join(name)).unwrap();
        std::fs::copy(&copy, place.path().join(name).join(FILE)).unwrap();
        let incarnation = open(name, time).incarnation();
        assert!(lives.iter().all(|life| *life < incarnation), "{incarnation} after {lives:?}");
        lives.push(incarnation);
    }
}

#[test]
fn a_copy_that_cannot_be_written_leaves_nothing() {
    let place = tempfile::tempdir().unwrap();
    let store = Store::open(&place.path().join("data"), Options::default()).unwrap();
    let nowhere = place.path().join("none/copy.db");
    let error = store.backup(&nowhere).unwrap_err();
    assert!(error.to_string().contains("none/copy.db"), "{error}");
    let error = backup(place.path(), &place.path().join("copy.db"), |_| {}).unwrap_err();
    assert!(matches!(error, BackupError::Missing(_)), "{error}");
    assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), 1);
}

#[test]
fn deleted_rows_give_their_pages_back() {
    let place = tempfile::tempdir().unwrap();
    let options = Options { checkpoint_pages: 1, ..Options::default() };
    let store = Store::open(place.path(), options).unwrap();
    (1..=40).for_each(|number| write(&store, number));
    let size = || std::fs::metadata(place.path().join(FILE)).unwrap().len();
    let before = size();
    apply(&store, (1..=40).map(|number| Change::DeleteRun(run(number))).collect());
    let freed = store.vacuum(50).unwrap();
    assert_eq!(freed, 50, "a slice is no more than asked for");
    while store.vacuum(1_000).unwrap() > 0 {}
    assert!(size() < before / 2, "{before} became {}", size());
    assert_eq!(store.check().unwrap(), [""; 0]);
}
