//! The table `streams`: live output.

use super::super::column::{Columns, Misfit, Query, envelope, int, only_number, shared};
use super::super::failure::Fault;
use super::super::tx::Tx;
use crate::error::ReadError;
use crate::row::StreamRow;
use polos_protocol::frame::StreamItem;
use polos_protocol::{Namespace, RunId, StepKey};
use rusqlite::{Connection, params};

/// The columns of [`decode`].
pub(in crate::sqlite) const SELECT: &str =
    "SELECT namespace, run, position, at, key, attempt, kind, envelope, data FROM streams ";

/// Appends live output.
pub(in crate::sqlite) fn append(tx: &Tx<'_>, rows: &[StreamRow]) -> Result<(), Fault> {
    let sql = "INSERT INTO streams (namespace, run, position, at, key, attempt, kind, envelope, \
               data) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
    let mut statement = tx.connection.prepare_cached(sql)?;
    for row in rows {
        let item = &row.item;
        statement.execute(params![
            tx.namespace,
            row.run.to_string(),
            int(row.position),
            int(row.at),
            item.key.as_str(),
            item.attempt,
            item.kind,
            envelope(&item.data)?,
            item.data.text(),
        ])?;
    }
    Ok(())
}

/// Deletes a run's live output.
pub(in crate::sqlite) fn delete_all(tx: &Tx<'_>, run: RunId) -> Result<(), Fault> {
    let sql = "DELETE FROM streams WHERE namespace = ?1 AND run = ?2";
    tx.execute(sql, params![tx.namespace, run.to_string()]).map(drop)
}

pub(in crate::sqlite) fn decode(columns: &mut Columns<'_>) -> Result<StreamRow, Misfit> {
    Ok(StreamRow {
        namespace: columns.parsed()?,
        run: columns.parsed()?,
        position: columns.number()?,
        at: columns.number()?,
        item: StreamItem {
            key: columns.wrapped(StepKey::from_recorded)?,
            attempt: columns.number()?,
            kind: columns.wrapped(shared)?,
            data: columns.value()?,
        },
    })
}

/// Live output of a run after a place.
pub(in crate::sqlite) fn after(
    connection: &Connection,
    namespace: &Namespace,
    run: RunId,
    after: u64,
    limit: u32,
) -> Result<Vec<StreamRow>, ReadError> {
    let sql = format!(
        "{SELECT} WHERE namespace = ?1 AND run = ?2 AND position > ?3 ORDER BY position LIMIT ?4"
    );
    Query { connection, table: "streams", key_len: 3, sql: &sql }
        .all(params![namespace.as_str(), run.to_string(), int(after), limit], decode)
}

/// The highest place in a run's live output.
pub(in crate::sqlite) fn head(
    connection: &Connection,
    namespace: &Namespace,
    run: RunId,
) -> Result<u64, ReadError> {
    let sql = "SELECT ifnull(max(position), 0) FROM streams WHERE namespace = ?1 AND run = ?2";
    Query { connection, table: "streams", key_len: 0, sql }
        .first(params![namespace.as_str(), run.to_string()], only_number)
        .map(Option::unwrap_or_default)
}
