//! Journals in the model.

use super::tables::Tables;
use polos_protocol::value::Place;
use polos_protocol::{Kind, Namespace, RunId, Value};
use polos_store::read::{RecordMark, Stretch};
use polos_store::row::RecordRow;
use std::sync::Arc;

/// Appends records to a run's journal.
pub(super) fn append(
    tables: &mut Tables,
    namespace: &Namespace,
    run: RunId,
    records: &[RecordRow],
) -> Result<(), String> {
    let journals = Arc::make_mut(&mut tables.journals);
    let journal = Arc::make_mut(journals.entry((namespace.clone(), run)).or_default());
    for record in records {
        match journal.binary_search_by_key(&record.seq, |row| row.seq) {
            Ok(_) => return Err(format!("there is a record {} of `{run}` already", record.seq)),
            Err(index) => journal.insert(index, Arc::new(record.clone())),
        }
        if let Some(reference) = record.record.value.as_ref().and_then(Value::reference) {
            let refs = Arc::make_mut(&mut tables.blob_refs);
            refs.insert((namespace.clone(), run, reference.hash.clone()));
        }
    }
    Ok(())
}

/// A run's journal.
pub(super) fn of<'t>(
    tables: &'t Tables,
    namespace: &Namespace,
    run: RunId,
) -> &'t [Arc<RecordRow>] {
    tables.journals.get(&(namespace.clone(), run)).map_or(&[], |journal| journal)
}

/// Records after a place, until so many bytes are passed.
pub(super) fn page(journal: &[Arc<RecordRow>], after: u64, bytes_max: usize) -> Vec<RecordRow> {
    let mut bytes = 0;
    let mut records = Vec::new();
    for row in journal.iter().filter(|row| row.seq > after) {
        bytes += row.record.size();
        records.push((**row).clone());
        if bytes >= bytes_max {
            break;
        }
    }
    records
}

/// A stretch as a worker replays it.
pub(super) fn replay(journal: &[Arc<RecordRow>], run: RunId, stretch: Stretch) -> Vec<RecordRow> {
    let mut bytes = 0;
    let mut records = Vec::new();
    let within = |row: &&Arc<RecordRow>| row.seq > stretch.after && row.seq <= stretch.upto;
    for row in journal.iter().filter(within) {
        let row = bare(row, run, stretch.value_bytes_max);
        bytes += row.record.size();
        records.push(row);
        if bytes >= stretch.bytes_max {
            break;
        }
    }
    records
}

/// A record without what only people want, and without a large value.
fn bare(row: &RecordRow, run: RunId, value_bytes_max: usize) -> RecordRow {
    let mut row = RecordRow { worker: None, ..row.clone() };
    let record = &mut row.record;
    (record.requested_ms, record.started_ms, record.ended_ms) = (None, None, None);
    record.traceparent = None;
    if let Some(value) = &mut record.value
        && let Some(size) = value.text().map(str::len).filter(|size| *size > value_bytes_max)
    {
        *value = value.left_out(Place::Record(run, row.seq), size as u64);
    }
    row
}

/// A record without its payload.
pub(super) fn mark(row: &Arc<RecordRow>) -> RecordMark {
    let record = &row.record;
    let kept = matches!(record.kind, Kind::Open | Kind::Reset | Kind::Resolved | Kind::Intent);
    RecordMark {
        seq: row.seq,
        at: row.at,
        assignment: row.assignment,
        n: record.n,
        size: record.size() as u64,
        kind: record.kind,
        key: record.key.clone(),
        ok: record.error.is_none(),
        after: record.after,
        detail: record.detail.clone().filter(|_| kept),
    }
}
