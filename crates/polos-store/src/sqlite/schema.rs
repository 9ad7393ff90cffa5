//! The schema: migrations that go forwards only, each in one transaction. A schema newer than this
//! build is refused in words.

use super::meta;
use super::open::database;
use crate::error::OpenError;
use rusqlite::{Connection, TransactionBehavior};
use std::path::Path;

/// The migrations; the first makes an empty file schema 1, and so on. One that was released is
/// never changed.
const MIGRATIONS: [&str; 2] = [include_str!("schema/0001.sql"), include_str!("schema/0002.sql")];

/// Marks the file as ours, for `file` and for a person: "Plos" in ASCII.
const APPLICATION_ID: i32 = 0x506c_6f73;

/// The newest schema that this build knows.
pub(super) fn newest() -> u32 {
    u32::try_from(MIGRATIONS.len()).unwrap_or(u32::MAX)
}

/// Brings a database to the newest schema.
pub(super) fn migrate(connection: &mut Connection, path: &Path) -> Result<(), OpenError> {
    let failed = |cause: rusqlite::Error| database(path, &cause);
    let mut found = version(connection).map_err(failed)?;
    if found == Some(0) {
        let message = "it is a database of another program".to_owned();
        return Err(OpenError::Database { path: path.to_owned(), message });
    }
    if found.is_some_and(|found| found > newest()) {
        let found = found.unwrap_or_default();
        return Err(OpenError::Newer { path: path.to_owned(), found, known: newest() });
    }
    set_modes(connection, found.is_none()).map_err(failed)?;
    let first = found.take().unwrap_or(0);
    for version in first + 1..=newest() {
        step(connection, version).map_err(failed)?;
    }
    Ok(())
}

/// The schema's version: none if the file is empty, 0 if it is not ours.
fn version(connection: &Connection) -> rusqlite::Result<Option<u32>> {
    let tables: u32 =
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    if tables == 0 {
        return Ok(None);
    }
    let id: i32 = connection.pragma_query_value(None, "application_id", |row| row.get(0))?;
    if id != APPLICATION_ID {
        return Ok(Some(0));
    }
    let version = meta::get(connection, meta::SCHEMA)?;
    Ok(Some(u32::try_from(version).unwrap_or(u32::MAX)))
}

fn set_modes(connection: &Connection, fresh: bool) -> rusqlite::Result<()> {
    if fresh {
        // Only an empty file takes this: pages of deleted rows can then be given back in slices.
        connection.pragma_update(None, "auto_vacuum", "incremental")?;
        connection.pragma_update(None, "application_id", APPLICATION_ID)?;
    }
    connection.pragma_update_and_check(None, "journal_mode", "wal", |_| Ok(()))?;
    connection.pragma_update(None, "synchronous", "full")?;
    connection.pragma_update_and_check(None, "journal_size_limit", WAL_BYTES_KEPT, |_| Ok(()))
}

/// What of the write-ahead log's file is kept for use again, in bytes.
const WAL_BYTES_KEPT: i64 = 64 << 20;

fn step(connection: &mut Connection, version: u32) -> rusqlite::Result<()> {
    let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    tx.execute_batch(MIGRATIONS[version as usize - 1])?;
    meta::set(&tx, meta::SCHEMA, u64::from(version))?;
    tx.commit()
}
