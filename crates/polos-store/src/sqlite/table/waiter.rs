//! The table `waiters`.

use super::super::column::{Columns, Query};
use super::super::failure::Fault;
use super::super::tx::Tx;
use crate::error::ReadError;
use crate::row::WaiterRow;
use polos_protocol::{Namespace, RunId, StepKey};
use rusqlite::{Connection, params};

/// Adds a waiter, unless it is there.
pub(in crate::sqlite) fn put(tx: &Tx<'_>, row: &WaiterRow) -> Result<(), Fault> {
    let sql = "INSERT INTO waiters (namespace, topic, run, key) VALUES (?1, ?2, ?3, ?4) \
               ON CONFLICT DO NOTHING";
    let run = row.run.to_string();
    tx.execute(sql, params![tx.namespace, row.topic, run, row.key.as_str()]).map(drop)
}

/// Removes a waiter, if it is there.
pub(in crate::sqlite) fn delete(tx: &Tx<'_>, row: &WaiterRow) -> Result<(), Fault> {
    let sql = "DELETE FROM waiters WHERE namespace = ?1 AND topic = ?2 AND run = ?3 AND key = ?4";
    let run = row.run.to_string();
    tx.execute(sql, params![tx.namespace, row.topic, run, row.key.as_str()]).map(drop)
}

/// Removes all waiters of a run.
pub(in crate::sqlite) fn delete_all(tx: &Tx<'_>, run: RunId) -> Result<(), Fault> {
    let sql = "DELETE FROM waiters WHERE namespace = ?1 AND run = ?2";
    tx.execute(sql, params![tx.namespace, run.to_string()]).map(drop)
}

/// Who waits on a topic.
pub(in crate::sqlite) fn on_topic(
    connection: &Connection,
    namespace: &Namespace,
    topic: &str,
) -> Result<Vec<WaiterRow>, ReadError> {
    let sql = "SELECT namespace, topic, run, key FROM waiters \
               WHERE namespace = ?1 AND topic = ?2 ORDER BY run, key";
    Query { connection, table: "waiters", key_len: 4, sql }.all(
        params![namespace.as_str(), topic],
        |columns: &mut Columns<'_>| {
            Ok(WaiterRow {
                namespace: columns.parsed()?,
                topic: columns.get()?,
                run: columns.parsed()?,
                key: columns.wrapped(StepKey::from_recorded)?,
            })
        },
    )
}
