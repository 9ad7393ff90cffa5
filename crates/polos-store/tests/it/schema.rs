//! The schema: refused when newer, foreign or rubbish; readable by people.

use polos_protocol::{Namespace, State};
use polos_store::sqlite::{FILE, Options, Store};
use polos_store::{Change, OpenError, Read as _};
use polos_testkit::store::sample::{apply, insert_run, record, run, run_row, status};
use rusqlite::Connection;

#[test]
fn a_newer_schema_is_refused_in_words() {
    let directory = tempfile::tempdir().unwrap();
    drop(Store::open(directory.path(), Options::default()).unwrap());
    let connection = Connection::open(directory.path().join(FILE)).unwrap();
    connection.execute("UPDATE meta SET value = 99 WHERE name = 'schema'", []).unwrap();
    drop(connection);
    let error = Store::open(directory.path(), Options::default()).unwrap_err();
    assert!(matches!(&error, OpenError::Newer { found: 99, known: 2, .. }), "{error}");
    let message = error.to_string();
    assert!(message.contains("schema 99") && message.contains("newer Polos"), "{message}");
}

#[test]
fn the_first_schema_is_brought_to_the_newest_with_all_it_held() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path(), Options::default()).unwrap();
    apply(&store, vec![insert_run(run_row(1), status(State::Waiting))]);
    drop(store);
    let connection = Connection::open(directory.path().join(FILE)).unwrap();
    connection
        .execute_batch(
            "DROP INDEX runs_slot; ALTER TABLE runs DROP COLUMN slot; \
             UPDATE meta SET value = 1 WHERE name = 'schema'",
        )
        .unwrap();
    drop(connection);
    let store = Store::open(directory.path(), Options::default()).unwrap();
    assert_eq!(store.kept_slots().unwrap(), []);
    let keeps = polos_store::row::RunStatus { slot: Some(run(1)), ..status(State::Waiting) };
    apply(&store, vec![Change::UpdateRun(run(1), Box::new(keeps))]);
    assert_eq!(store.kept_slots().unwrap().len(), 1);
}

#[test]
fn another_programs_database_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(FILE);
    Connection::open(&path).unwrap().execute_batch("CREATE TABLE photos (id)").unwrap();
    let before = std::fs::read(&path).unwrap();
    let error = Store::open(directory.path(), Options::default()).unwrap_err();
    assert!(error.to_string().contains("another program"), "{error}");
    assert_eq!(std::fs::read(&path).unwrap(), before);
}

#[test]
fn rubbish_is_no_database() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join(FILE), "hello ".repeat(1_000)).unwrap();
    let error = Store::open(directory.path(), Options::default()).unwrap_err();
    assert!(matches!(&error, OpenError::Database { .. }), "{error}");
    assert!(error.to_string().contains("not a database"), "{error}");
}

#[test]
fn a_store_reopens_with_all_it_held() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path(), Options::default()).unwrap();
    apply(&store, vec![insert_run(run_row(1), status(State::Queued))]);
    drop(store);
    assert!(!directory.path().join("polos.db-wal").exists(), "closed means folded in");
    let store = Store::open(directory.path(), Options::default()).unwrap();
    assert_eq!(*store.run(&Namespace::default(), run(1)).unwrap().unwrap().row, run_row(1));
}

/// What a person sees with sqlite3, beside the running server.
#[test]
fn people_can_read_it() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path(), Options::default()).unwrap();
    let mut waiting = status(State::Waiting);
    waiting.why = Some("waits for Ada".into());
    apply(
        &store,
        vec![insert_run(run_row(1), waiting), Change::AppendRecords(run(1), vec![record(1)])],
    );
    let connection = Connection::open(directory.path().join(FILE)).unwrap();
    let texts = |sql: &str| -> Vec<String> {
        connection.query_row(sql, [], |row| (0..4).map(|index| row.get(index)).collect()).unwrap()
    };
    let step = texts("SELECT run, key, value, at FROM steps");
    assert_eq!(step[0], run(1).to_string());
    assert_eq!(step[1..3], ["step1", r#"{"done":true,"text":"größer"}"#]);
    assert!(step[3].starts_with("2025-10-09"), "{}", step[3]);
    let waiting = texts("SELECT run, workflow, why, since FROM waiting");
    assert_eq!(waiting[1..3], ["work1", "waits for Ada"]);
}

/// A step is one row in one tree. (That reads use their indexes is in their SQL: `INDEXED BY`.)
#[test]
fn the_journal_has_no_second_index() {
    let directory = tempfile::tempdir().unwrap();
    let _store = Store::open(directory.path(), Options::default()).unwrap();
    let connection = Connection::open(directory.path().join(FILE)).unwrap();
    let indexes: u32 = connection
        .query_row(
            "SELECT count(*) FROM sqlite_schema WHERE type = 'index' AND tbl_name = 'journal'",
            [],
            |row| row.get(0),
        )
        .unwrap();
    assert_eq!(indexes, 0);
}
