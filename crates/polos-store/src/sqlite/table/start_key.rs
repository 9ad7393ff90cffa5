//! The table `start_keys`: under which key which run was started. It outlives the run.

use super::super::column::{Columns, Query, int};
use super::super::failure::Fault;
use super::super::tx::Tx;
use crate::error::ReadError;
use polos_protocol::{Millis, Namespace, RunId};
use rusqlite::{Connection, params};

/// Registers the key of a new run.
pub(in crate::sqlite) fn insert(
    tx: &Tx<'_>,
    workflow: &str,
    key: &str,
    run: RunId,
) -> Result<(), Fault> {
    let sql = "INSERT INTO start_keys (namespace, workflow, key, run) VALUES (?1, ?2, ?3, ?4)";
    tx.execute(sql, params![tx.namespace, workflow, key, run.to_string()]).map(drop)
}

/// True if no run of the workflow was started under the key.
pub(in crate::sqlite) fn is_absent(tx: &Tx<'_>, workflow: &str, key: &str) -> Result<bool, Fault> {
    let sql = "SELECT 1 FROM start_keys WHERE namespace = ?1 AND workflow = ?2 AND key = ?3";
    tx.exists(sql, params![tx.namespace, workflow, key]).map(|found| !found)
}

/// Notes when a run ended that is about to be deleted.
pub(in crate::sqlite) fn release(tx: &Tx<'_>, run: RunId) -> Result<(), Fault> {
    let sql = "UPDATE start_keys SET ended_ms = \
               (SELECT ifnull(ended_ms, since_ms) FROM runs WHERE namespace = ?1 AND id = ?2) \
               WHERE namespace = ?1 AND run = ?2 AND ended_ms IS NULL";
    tx.execute(sql, params![tx.namespace, run.to_string()]).map(drop)
}

/// Deletes the keys of runs that ended before a time, deleted or not.
pub(in crate::sqlite) fn delete_before(tx: &Tx<'_>, before: Millis) -> Result<(), Fault> {
    let sql = "DELETE FROM start_keys WHERE namespace = ?1 AND (ended_ms < ?2 \
               OR ended_ms IS NULL AND EXISTS (SELECT 1 FROM runs \
               WHERE runs.namespace = ?1 AND runs.id = start_keys.run AND runs.ended_ms < ?2 \
               AND runs.state IN ('completed', 'failed', 'cancelled')))";
    tx.execute(sql, params![tx.namespace, int(before)]).map(drop)
}

/// The run that was started under a key.
pub(in crate::sqlite) fn run_of(
    connection: &Connection,
    namespace: &Namespace,
    workflow: &str,
    key: &str,
) -> Result<Option<RunId>, ReadError> {
    let sql = "SELECT namespace, workflow, key, run FROM start_keys \
               WHERE namespace = ?1 AND workflow = ?2 AND key = ?3";
    Query { connection, table: "start_keys", key_len: 3, sql }
        .first(params![namespace.as_str(), workflow, key], |columns: &mut Columns<'_>| {
            columns.skip(3).parsed()
        })
}
