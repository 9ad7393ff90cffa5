//! The table `queues`, and how queues stand: that follows from the runs.

use super::super::column::{Columns, Query};
use super::super::failure::Fault;
use super::super::tx::Tx;
use crate::error::ReadError;
use crate::read::QueueCount;
use crate::row::QueueRow;
use polos_protocol::{Namespace, QueueConfig};
use rusqlite::{Connection, params};

/// Writes a queue's configuration.
pub(in crate::sqlite) fn put(tx: &Tx<'_>, row: &QueueRow) -> Result<(), Fault> {
    let config = &row.config;
    let sql = "INSERT INTO queues (namespace, name, concurrency, concurrency_per_key, hold, paused, \
               by_operator) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) \
               ON CONFLICT (namespace, name) DO UPDATE SET concurrency = excluded.concurrency, \
               concurrency_per_key = excluded.concurrency_per_key, hold = excluded.hold, \
               paused = excluded.paused, by_operator = excluded.by_operator";
    tx.execute(
        sql,
        params![
            tx.namespace,
            config.name,
            config.concurrency,
            config.concurrency_per_key,
            config.hold,
            config.paused,
            row.by_operator,
        ],
    )
    .map(drop)
}

/// All configured queues.
pub(in crate::sqlite) fn all(connection: &Connection) -> Result<Vec<QueueRow>, ReadError> {
    let sql = "SELECT namespace, name, concurrency, concurrency_per_key, hold, paused, by_operator \
               FROM queues ORDER BY namespace, name";
    Query { connection, table: "queues", key_len: 2, sql }.all([], |columns: &mut Columns<'_>| {
        Ok(QueueRow {
            namespace: columns.parsed()?,
            config: QueueConfig {
                name: columns.get()?,
                concurrency: columns.number_opt()?,
                concurrency_per_key: columns.number_opt()?,
                hold: columns.get()?,
                paused: columns.get()?,
            },
            by_operator: columns.get()?,
        })
    })
}

/// The queues in which any run is `queued` or `running`.
pub(in crate::sqlite) fn counts(
    connection: &Connection,
    namespace: &Namespace,
) -> Result<Vec<QueueCount>, ReadError> {
    let sql = "SELECT queue, sum(queued), sum(running) FROM (\
               SELECT queue, 1 AS queued, 0 AS running FROM runs INDEXED BY runs_queued \
               WHERE state = 'queued' AND namespace = ?1 UNION ALL \
               SELECT queue, 0, 1 FROM runs INDEXED BY runs_running WHERE state = 'running' AND namespace = ?1) \
               GROUP BY queue ORDER BY queue";
    Query { connection, table: "runs", key_len: 1, sql }.all(
        params![namespace.as_str()],
        |columns: &mut Columns<'_>| {
            Ok(QueueCount {
                queue: columns.get()?,
                queued: columns.number()?,
                running: columns.number()?,
            })
        },
    )
}
