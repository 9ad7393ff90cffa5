//! Runs and start keys in the model.

use super::apply::{delete_timers, delete_waiters};
use super::tables::{StartKey, Tables, insert as insert_into, retain, retain_set};
use polos_protocol::{Millis, Namespace, RunId};
use polos_store::row::{Run, RunRow, RunStatus};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Inserts a run with its start key.
pub(super) fn insert(
    tables: &mut Tables,
    namespace: &Namespace,
    row: &Arc<RunRow>,
    status: &RunStatus,
) -> Result<(), String> {
    let run = Arc::new(Run { row: row.clone(), status: status.clone() });
    insert_into(&mut tables.runs, (namespace.clone(), row.id), run)?;
    if let Some(reference) = row.input.reference() {
        let refs = Arc::make_mut(&mut tables.blob_refs);
        refs.insert((namespace.clone(), row.id, reference.hash.clone()));
    }
    let Some(key) = &row.start_key else { return Ok(()) };
    let place = (namespace.clone(), row.workflow.clone(), key.clone());
    insert_into(&mut tables.start_keys, place, StartKey { run: row.id, ended_ms: None })
}

/// Rewrites where a run stands.
pub(super) fn update(
    tables: &mut Tables,
    namespace: &Namespace,
    id: RunId,
    status: &RunStatus,
) -> Result<(), String> {
    let run = Arc::make_mut(&mut tables.runs).get_mut(&(namespace.clone(), id));
    let run = run.ok_or_else(|| format!("there is no run `{id}`"))?;
    *run = Arc::new(Run { row: run.row.clone(), status: status.clone() });
    Ok(())
}

/// Deletes a run with all that is its own but its start key.
pub(super) fn delete(tables: &mut Tables, namespace: &Namespace, id: RunId) {
    let place = (namespace.clone(), id);
    if let Some(run) = tables.runs.get(&place).cloned() {
        let ended_ms = run.status.ended_ms.unwrap_or(run.status.since_ms);
        for ((ns, ..), key) in Arc::make_mut(&mut tables.start_keys).iter_mut() {
            if (ns, key.run) == (namespace, id) {
                key.ended_ms.get_or_insert(ended_ms);
            }
        }
        Arc::make_mut(&mut tables.runs).remove(&place);
    }
    if tables.journals.contains_key(&place) {
        Arc::make_mut(&mut tables.journals).remove(&place);
    }
    let others = |ns: &Namespace, run: RunId| (ns, run) != (namespace, id);
    retain(&mut tables.signals, |(ns, run, _), _| others(ns, *run));
    retain(&mut tables.streams, |(ns, run, _), _| others(ns, *run));
    retain(&mut tables.approvals, |(ns, _), row| others(ns, row.approval.run));
    delete_timers(tables, namespace, id);
    delete_waiters(tables, namespace, id);
    release_blobs(tables, namespace, id);
}

fn release_blobs(tables: &mut Tables, namespace: &Namespace, id: RunId) {
    let refs = tables.blob_refs.iter().filter(|(ns, ..)| ns == namespace);
    let (own, others): (Vec<_>, Vec<_>) = refs.partition(|(_, run, _)| *run == id);
    let others: BTreeSet<_> = others.into_iter().map(|(.., hash)| hash.clone()).collect();
    let free: BTreeSet<_> = own
        .into_iter()
        .map(|(.., hash)| hash.clone())
        .filter(|hash| !others.contains(hash))
        .collect();
    retain(&mut tables.blobs, |(ns, hash), _| ns != namespace || !free.contains(hash));
    retain_set(&mut tables.blob_refs, |(ns, run, _)| (ns, *run) != (namespace, id));
}

/// Deletes the keys of runs that ended before a time, deleted or not.
pub(super) fn delete_start_keys(tables: &mut Tables, namespace: &Namespace, before: Millis) {
    let runs = tables.runs.clone();
    let ended_ms = |key: &StartKey| {
        key.ended_ms.or_else(|| {
            let run = runs.get(&(namespace.clone(), key.run))?;
            run.status.ended_ms.filter(|_| run.status.state.is_ended())
        })
    };
    retain(&mut tables.start_keys, |(ns, ..), key| {
        ns != namespace || ended_ms(key).is_none_or(|ended_ms| ended_ms >= before)
    });
}
