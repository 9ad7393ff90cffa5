//! The table `signals`: the inboxes of runs.

use super::super::column::{Columns, Misfit, Query, envelope, int};
use super::super::failure::Fault;
use super::super::tx::Tx;
use crate::error::ReadError;
use crate::row::SignalRow;
use polos_protocol::{Namespace, RunId};
use rusqlite::{Connection, params};

/// The columns of [`decode`].
pub(in crate::sqlite) const SELECT: &str = "SELECT namespace, run, position, topic, id, key, at, consumed, envelope, payload FROM signals ";

/// Puts a signal into an inbox.
pub(in crate::sqlite) fn insert(tx: &Tx<'_>, row: &SignalRow) -> Result<(), Fault> {
    let sql = "INSERT INTO signals (namespace, run, position, topic, id, key, at, consumed, \
               envelope, payload) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)";
    tx.execute(
        sql,
        params![
            tx.namespace,
            row.run.to_string(),
            int(row.position),
            row.topic,
            row.id.to_string(),
            row.key,
            int(row.at),
            row.consumed,
            envelope(&row.payload)?,
            row.payload.text(),
        ],
    )
    .map(drop)
}

/// Marks a signal as consumed or not.
pub(in crate::sqlite) fn mark(
    tx: &Tx<'_>,
    run: RunId,
    position: u64,
    consumed: bool,
) -> Result<(), Fault> {
    let sql =
        "UPDATE signals SET consumed = ?4 WHERE namespace = ?1 AND run = ?2 AND position = ?3";
    let place = params![tx.namespace, run.to_string(), int(position), consumed];
    tx.change_one(sql, place, || format!("signal {position} of `{run}`"))
}

/// True if the signal is there and not consumed.
pub(in crate::sqlite) fn is_pending(tx: &Tx<'_>, run: RunId, position: u64) -> Result<bool, Fault> {
    let sql = "SELECT 1 FROM signals WHERE namespace = ?1 AND run = ?2 AND position = ?3 \
               AND NOT consumed";
    tx.exists(sql, params![tx.namespace, run.to_string(), int(position)])
}

/// Deletes a run's inbox.
pub(in crate::sqlite) fn delete_all(tx: &Tx<'_>, run: RunId) -> Result<(), Fault> {
    let sql = "DELETE FROM signals WHERE namespace = ?1 AND run = ?2";
    tx.execute(sql, params![tx.namespace, run.to_string()]).map(drop)
}

/// All signals of a run.
pub(in crate::sqlite) fn of_run(
    connection: &Connection,
    namespace: &Namespace,
    run: RunId,
) -> Result<Vec<SignalRow>, ReadError> {
    let sql = format!("{SELECT} WHERE namespace = ?1 AND run = ?2 ORDER BY position");
    Query { connection, table: "signals", key_len: 3, sql: &sql }
        .all(params![namespace.as_str(), run.to_string()], decode)
}

pub(in crate::sqlite) fn decode(columns: &mut Columns<'_>) -> Result<SignalRow, Misfit> {
    Ok(SignalRow {
        namespace: columns.parsed()?,
        run: columns.parsed()?,
        position: columns.number()?,
        topic: columns.get()?,
        id: columns.parsed()?,
        key: columns.get()?,
        at: columns.number()?,
        consumed: columns.get()?,
        payload: columns.value()?,
    })
}
