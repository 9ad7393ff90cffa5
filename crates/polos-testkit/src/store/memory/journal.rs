//! Journals in the model.

use super::tables::Tables;
use polos_protocol::{Kind, Namespace, RunId};
use polos_store::read::{JournalHead, RecordMark};
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

/// Where a journal stands.
pub(super) fn head(journal: &[Arc<RecordRow>], assignment: u64) -> JournalHead {
    let own = journal.iter().filter(|row| row.assignment == assignment);
    JournalHead {
        seq: journal.last().map_or(0, |row| row.seq),
        bytes: journal.iter().map(|row| row.record.size() as u64).sum(),
        n: own.map(|row| row.record.n).max().unwrap_or(0),
        at: journal.last().map_or(0, |row| row.at),
    }
}

/// A record without its payload.
pub(super) fn mark(row: &Arc<RecordRow>) -> RecordMark {
    let record = &row.record;
    let kept = matches!(record.kind, Kind::Open | Kind::Reset | Kind::Resolved | Kind::Intent);
    RecordMark {
        seq: row.seq,
        kind: record.kind,
        key: record.key.clone(),
        ok: record.error.is_none(),
        detail: record.detail.clone().filter(|_| kept),
    }
}
