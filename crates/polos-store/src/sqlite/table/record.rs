//! The table `journal`. Appending to it is the hot path: one row each, no other row is touched.

use super::super::column::{Columns, Misfit, Query, envelope, int, json_opt, only_number, shared};
use super::super::failure::Fault;
use super::super::tx::Tx;
use super::blob;
use crate::error::ReadError;
use crate::read::RecordMark;
use crate::row::RecordRow;
use polos_protocol::{Kind, Namespace, NewRecord, RunId, StepKey, Value, WorkerId};
use rusqlite::{Connection, params};

/// The columns of [`decode`].
pub(in crate::sqlite) const SELECT: &str = "SELECT namespace, run, seq, at, assignment, worker, build, n, kind, version, \
    key, after, attempt, fingerprint, envelope, value, error, detail, requested_ms, started_ms, \
    ended_ms, traceparent FROM journal ";

const INSERT: &str = "INSERT INTO journal (namespace, run, seq, at, kind, key, attempt, version, \
    after, assignment, n, worker, build, requested_ms, started_ms, ended_ms, fingerprint, \
    traceparent, envelope, error, detail, value) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, \
    ?, ?, ?, ?, ?, ?, ?)";

/// The bytes of a row as `NewRecord::size` counts them.
const SIZE: &str = "(96 + octet_length(key) + ifnull(octet_length(value), 0) \
    + ifnull(octet_length(detail), 0) \
    + iif(error IS NULL, 0, 64 + octet_length(error ->> '$.message')))";

/// Appends records to a run's journal.
pub(in crate::sqlite) fn append(
    tx: &Tx<'_>,
    run: RunId,
    records: &[RecordRow],
) -> Result<(), Fault> {
    let mut statement = tx.connection.prepare_cached(INSERT)?;
    let run = run.to_string();
    let mut worker = WorkerText::default();
    for row in records {
        let record = &row.record;
        statement.execute(params![
            tx.namespace,
            run,
            int(row.seq),
            int(row.at),
            record.kind.name(),
            record.key.as_str(),
            record.attempt,
            record.version,
            int(record.after),
            int(row.assignment),
            int(record.n),
            worker.of(row.worker),
            row.build,
            record.requested_ms.map(int),
            record.started_ms.map(int),
            record.ended_ms.map(int),
            record.fingerprint,
            record.traceparent,
            record.value.as_ref().map(envelope).transpose()?.flatten(),
            json_opt(record.error.as_ref())?,
            record.detail.as_deref().map(serde_json::value::RawValue::get),
            record.value.as_ref().and_then(Value::text),
        ])?;
        if let Some(reference) = record.value.as_ref().and_then(Value::reference) {
            blob::refer(tx, &reference.hash, &run)?;
        }
    }
    Ok(())
}

/// The text of the last worker's id: records of one command mostly have one worker.
#[derive(Default)]
struct WorkerText {
    id: Option<WorkerId>,
    text: Option<String>,
}

impl WorkerText {
    fn of(&mut self, worker: Option<WorkerId>) -> Option<&str> {
        if worker != self.id {
            self.id = worker;
            self.text = worker.map(|id| id.to_string());
        }
        self.text.as_deref()
    }
}

/// Deletes a run's journal.
pub(in crate::sqlite) fn delete_all(tx: &Tx<'_>, run: RunId) -> Result<(), Fault> {
    let sql = "DELETE FROM journal WHERE namespace = ?1 AND run = ?2";
    tx.execute(sql, params![tx.namespace, run.to_string()]).map(drop)
}

pub(in crate::sqlite) fn decode(columns: &mut Columns<'_>) -> Result<RecordRow, Misfit> {
    columns.skip(2);
    let seq = columns.number()?;
    let at = columns.number()?;
    let assignment = columns.number()?;
    let worker = columns.parsed_opt()?;
    let build = columns.wrapped_opt(shared)?;
    let record = NewRecord {
        n: columns.number()?,
        kind: columns.named(Kind::from_name)?,
        version: columns.number()?,
        key: columns.wrapped(StepKey::from_recorded)?,
        after: columns.number()?,
        attempt: columns.number()?,
        fingerprint: columns.wrapped_opt(shared)?,
        value: columns.value_opt()?,
        error: columns.failure()?,
        detail: columns.raw()?,
        requested_ms: columns.number_opt()?,
        started_ms: columns.number_opt()?,
        ended_ms: columns.number_opt()?,
        traceparent: columns.wrapped_opt(shared)?,
    };
    Ok(RecordRow { seq, at, assignment, worker, build, record })
}

/// Records after a place, until so many bytes are passed.
pub(in crate::sqlite) fn page(
    connection: &Connection,
    namespace: &Namespace,
    run: RunId,
    after: i64,
    bytes_max: usize,
) -> Result<Vec<RecordRow>, ReadError> {
    let sql = format!("{SELECT} WHERE namespace = ?1 AND run = ?2 AND seq > ?3 ORDER BY seq");
    let mut records: Vec<RecordRow> = Vec::new();
    let mut bytes = 0;
    Query { connection, table: "journal", key_len: 3, sql: &sql }.each(
        params![namespace.as_str(), run.to_string(), after],
        decode,
        |row| {
            bytes += row.record.size();
            records.push(row);
            bytes < bytes_max
        },
    )?;
    Ok(records)
}

/// The highest place of a journal.
pub(in crate::sqlite) fn end(
    connection: &Connection,
    namespace: &Namespace,
    run: RunId,
) -> Result<u64, ReadError> {
    let sql = "SELECT ifnull(max(seq), 0) FROM journal WHERE namespace = ?1 AND run = ?2";
    number(connection, sql, namespace, run)
}

/// The bytes of a journal.
pub(in crate::sqlite) fn bytes(
    connection: &Connection,
    namespace: &Namespace,
    run: RunId,
) -> Result<u64, ReadError> {
    let sql = format!("SELECT ifnull(sum{SIZE}, 0) FROM journal WHERE namespace = ?1 AND run = ?2");
    number(connection, &sql, namespace, run)
}

fn number(
    connection: &Connection,
    sql: &str,
    namespace: &Namespace,
    run: RunId,
) -> Result<u64, ReadError> {
    let number = Query { connection, table: "journal", key_len: 0, sql }
        .first(params![namespace.as_str(), run.to_string()], only_number)?;
    Ok(number.unwrap_or(0))
}

/// All records without their payloads.
pub(in crate::sqlite) fn marks(
    connection: &Connection,
    namespace: &Namespace,
    run: RunId,
) -> Result<Vec<RecordMark>, ReadError> {
    let sql = format!(
        "SELECT namespace, run, seq, at, kind, key, assignment, n, error IS NULL, after, {SIZE}, \
         iif(kind IN ('open', 'reset', 'resolved', 'intent'), detail, NULL) \
         FROM journal WHERE namespace = ?1 AND run = ?2 ORDER BY seq"
    );
    Query { connection, table: "journal", key_len: 3, sql: &sql }.all(
        params![namespace.as_str(), run.to_string()],
        |columns| {
            Ok(RecordMark {
                seq: columns.skip(2).number()?,
                at: columns.number()?,
                kind: columns.named(Kind::from_name)?,
                key: columns.wrapped(StepKey::from_recorded)?,
                assignment: columns.number()?,
                n: columns.number()?,
                ok: columns.get()?,
                after: columns.number()?,
                size: columns.number()?,
                detail: columns.raw()?,
            })
        },
    )
}

/// The value of one record.
pub(in crate::sqlite) fn value(
    connection: &Connection,
    namespace: &Namespace,
    run: RunId,
    seq: i64,
) -> Result<Option<Value>, ReadError> {
    let sql = "SELECT namespace, run, seq, envelope, value FROM journal \
               WHERE namespace = ?1 AND run = ?2 AND seq = ?3";
    let found = Query { connection, table: "journal", key_len: 3, sql }
        .first(params![namespace.as_str(), run.to_string(), seq], |columns| {
            columns.skip(3).value_opt()
        })?;
    Ok(found.flatten())
}

/// The records with a key.
pub(in crate::sqlite) fn with_key(
    connection: &Connection,
    namespace: &Namespace,
    run: RunId,
    key: &StepKey,
) -> Result<Vec<RecordRow>, ReadError> {
    let sql = format!("{SELECT} WHERE namespace = ?1 AND run = ?2 AND key = ?3 ORDER BY seq");
    Query { connection, table: "journal", key_len: 3, sql: &sql }
        .all(params![namespace.as_str(), run.to_string(), key.as_str()], decode)
}
