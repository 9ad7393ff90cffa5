//! The table `journal` as a worker replays it. A long journal is read at once, so that each column
//! counts: what only people want is not read, and of a large value only its size.

use super::super::column::{Columns, Misfit, Query, int, shared};
use crate::error::ReadError;
use crate::read::Stretch;
use crate::row::RecordRow;
use polos_protocol::value::Place;
use polos_protocol::{Kind, Namespace, NewRecord, RunId, StepKey};
use rusqlite::{Connection, params};
use std::sync::Arc;

/// One page.
pub(in crate::sqlite) fn page(
    connection: &Connection,
    namespace: &Namespace,
    run: RunId,
    stretch: Stretch,
) -> Result<Vec<RecordRow>, ReadError> {
    let sql = "SELECT namespace, run, seq, at, assignment, build, n, kind, version, key, after, attempt, \
         fingerprint, octet_length(value), envelope, \
         iif(octet_length(value) > ?5, NULL, value), error, detail \
         FROM journal WHERE namespace = ?1 AND run = ?2 AND seq > ?3 AND seq <= ?4 ORDER BY seq";
    let decode = Decode { run, value_bytes_max: stretch.value_bytes_max as u64 };
    let mut records: Vec<RecordRow> = Vec::new();
    let mut bytes = 0;
    Query { connection, table: "journal", key_len: 3, sql }.each(
        params![
            namespace.as_str(),
            run.to_string(),
            int(stretch.after),
            int(stretch.upto),
            int(stretch.value_bytes_max as u64)
        ],
        |columns| decode.row(columns),
        |mut row| {
            share_build(&records, &mut row);
            bytes += row.record.size();
            records.push(row);
            bytes < stretch.bytes_max
        },
    )?;
    Ok(records)
}

struct Decode {
    run: RunId,
    value_bytes_max: u64,
}

impl Decode {
    fn row(&self, columns: &mut Columns<'_>) -> Result<RecordRow, Misfit> {
        let seq = columns.skip(2).number()?;
        let at = columns.number()?;
        let assignment = columns.number()?;
        let build = columns.wrapped_opt(shared)?;
        let record = NewRecord {
            n: columns.number()?,
            kind: columns.named(Kind::from_name)?,
            version: columns.number()?,
            key: columns.wrapped(StepKey::from_recorded)?,
            after: columns.number()?,
            attempt: columns.number()?,
            fingerprint: columns.wrapped_opt(shared)?,
            value: None,
            error: None,
            detail: None,
            requested_ms: None,
            started_ms: None,
            ended_ms: None,
            traceparent: None,
        };
        let size: Option<u64> = columns.number_opt()?;
        let value = columns.value_opt()?;
        let value = match size {
            Some(size) if size > self.value_bytes_max => {
                Some(value.unwrap_or_default().left_out(Place::Record(self.run, seq), size))
            }
            _ => value,
        };
        let record =
            NewRecord { value, error: columns.failure()?, detail: columns.raw()?, ..record };
        Ok(RecordRow { seq, at, assignment, worker: None, build, record })
    }
}

/// Records that follow each other mostly have one build.
fn share_build(before: &[RecordRow], row: &mut RecordRow) {
    if let Some(last) = before.last()
        && let (Some(known), Some(build)) = (&last.build, &mut row.build)
        && known == build
    {
        *build = Arc::clone(known);
    }
}
