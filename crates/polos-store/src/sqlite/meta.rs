//! The database's own numbers: its schema and its incarnation.

use rusqlite::{Connection, params};

/// The schema's version.
pub(super) const SCHEMA: &str = "schema";
/// How many lives the store has had; raised at every opening.
pub(super) const INCARNATION: &str = "incarnation";

/// Reads a number; 0 if it was never set.
pub(super) fn get(connection: &Connection, name: &str) -> rusqlite::Result<u64> {
    let mut statement = connection.prepare_cached("SELECT value FROM meta WHERE name = ?1")?;
    let mut rows = statement.query([name])?;
    rows.next()?.map_or(Ok(0), |row| row.get(0))
}

/// Writes a number.
pub(super) fn set(connection: &Connection, name: &str, value: u64) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO meta (name, value) VALUES (?1, ?2) \
             ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        )?
        .execute(params![name, super::column::int(value)])
        .map(drop)
}
