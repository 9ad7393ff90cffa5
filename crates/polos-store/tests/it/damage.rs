//! Damage: reported, by row.

use polos_protocol::{Namespace, State};
use polos_store::sqlite::{FILE, Options, Store};
use polos_store::{Change, Read as _, ReadError};
use polos_testkit::store::sample::{apply, insert_run, record, run, run_row, status};
use rusqlite::Connection;
use std::io::{Seek as _, SeekFrom, Write as _};
use std::path::Path;

fn store(directory: &Path) -> Store {
    let store = Store::open(directory, Options::default()).unwrap();
    apply(
        &store,
        vec![
            insert_run(run_row(1), status(State::Queued)),
            insert_run(run_row(2), status(State::Running)),
            Change::AppendRecords(run(1), (1..=3).map(record).collect()),
        ],
    );
    store
}

#[test]
fn a_damaged_row_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let store = store(directory.path());
    assert_eq!(store.check().unwrap(), [""; 0]);
    let connection = Connection::open(directory.path().join(FILE)).unwrap();
    let id = run(1).to_string();
    let ns = Namespace::default();
    let damage = |sql: &str| connection.execute(sql, [&id]).unwrap();

    damage("UPDATE journal SET value = '{\"cut' WHERE run = ?1 AND seq = 2");
    let Err(ReadError::Damaged { row, message }) = store.journal(&ns, run(1), 0, usize::MAX) else {
        panic!("read as if it were whole")
    };
    assert_eq!(row, format!("journal default/{id}/2"));
    assert!(message.contains("`value`"), "{message}");
    assert_eq!(store.journal(&ns, run(1), 2, usize::MAX).unwrap().len(), 1, "the rest reads");

    damage("UPDATE journal SET kind = 'guess' WHERE run = ?1 AND seq = 3");
    damage("UPDATE runs SET status = '{}' WHERE id = ?1");
    assert!(matches!(store.run(&ns, run(1)), Err(ReadError::Damaged { .. })));
    store.run(&ns, run(2)).unwrap().unwrap();

    damage("DELETE FROM runs WHERE id = ?1");
    let findings = store.check().unwrap().join("\n");
    for expected in
        [format!("journal default/{id}/2"), "`guess` is not known".into(), "no such run".into()]
    {
        assert!(findings.contains(&expected), "{findings}");
    }
}

#[test]
fn a_damaged_page_is_found() {
    let directory = tempfile::tempdir().unwrap();
    drop(store(directory.path()));
    let path = directory.path().join(FILE);
    let page = {
        let connection = Connection::open(&path).unwrap();
        let sql = "SELECT rootpage FROM sqlite_schema WHERE name = 'journal'";
        connection.query_row(sql, [], |row| row.get::<_, u64>(0)).unwrap()
    };
    let mut file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
    file.seek(SeekFrom::Start((page - 1) * 4096)).unwrap();
    file.write_all(&[0xa5; 4096]).unwrap();
    let store = Store::open(directory.path(), Options::default()).unwrap();
    assert!(store.journal(&Namespace::default(), run(1), 0, 1).is_err());
    assert!(!store.check().unwrap_or_else(|error| vec![error.to_string()]).is_empty());
}
