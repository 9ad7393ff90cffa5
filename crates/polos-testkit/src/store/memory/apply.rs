//! Commands against the model: checks, then changes. An error is a change that contradicts what is
//! there.

use super::tables::{Tables, insert, retain, retain_set};
use super::{journal, run};
use polos_protocol::rest::ApprovalState;
use polos_protocol::{Millis, Namespace, RunId, StepKey};
use polos_store::row::{EventRow, TimerKind, TimerRow};
use polos_store::{Batch, Change, Check, Command, Outcome};
use std::sync::Arc;

/// Applies a batch.
pub(super) fn apply(tables: &mut Tables, batch: &Batch) -> Result<Vec<Outcome>, String> {
    batch.commands.iter().map(|command| apply_command(tables, command)).collect()
}

fn apply_command(tables: &mut Tables, command: &Command) -> Result<Outcome, String> {
    let namespace = &command.namespace;
    if let Some(index) = command.checks.iter().position(|check| !holds(tables, namespace, check)) {
        return Ok(Outcome::Refused(index));
    }
    for change in &command.changes {
        apply_change(tables, namespace, change)?;
    }
    Ok(Outcome::Applied)
}

fn holds(tables: &Tables, namespace: &Namespace, check: &Check) -> bool {
    let ns = namespace.clone();
    match check {
        Check::RunAbsent(id) => !tables.runs.contains_key(&(ns, *id)),
        Check::RunAssignment(id, assignment) => {
            tables.runs.get(&(ns, *id)).is_some_and(|run| run.status.assignment == *assignment)
        }
        Check::StartKeyAbsent { workflow, key } => {
            !tables.start_keys.contains_key(&(ns, workflow.clone(), key.clone()))
        }
        Check::ApprovalPending(id) => tables
            .approvals
            .get(&(ns, *id))
            .is_some_and(|row| row.approval.state == ApprovalState::Pending),
        Check::EventKeyAbsent { topic, key } => {
            super::list::event_with_key(tables, namespace, topic, key).is_none()
        }
        Check::SignalPending(id, position) => {
            tables.signals.get(&(ns, *id, *position)).is_some_and(|signal| !signal.consumed)
        }
    }
}

fn apply_change(tables: &mut Tables, namespace: &Namespace, change: &Change) -> Result<(), String> {
    match change {
        Change::InsertRun(row, status) => return run::insert(tables, namespace, row, status),
        Change::UpdateRun(id, status) => return run::update(tables, namespace, *id, status),
        Change::DeleteRun(id) => run::delete(tables, namespace, *id),
        Change::DeleteStartKeysBefore(before) => {
            run::delete_start_keys(tables, namespace, *before);
        }
        Change::AppendRecords(id, records) => {
            return journal::append(tables, namespace, *id, records);
        }
        Change::PutTimer(row) => put_timer(tables, namespace, row),
        Change::DeleteTimer(id, kind, key) => delete_timer(tables, namespace, *id, *kind, key),
        Change::DeleteTimers(id) => delete_timers(tables, namespace, *id),
        Change::PutWaiter(_) | Change::DeleteWaiter(_) | Change::DeleteWaiters(_) => {
            change_waiters(tables, namespace, change);
        }
        Change::InsertEvent(row) => return insert_event(tables, namespace, row),
        Change::DeleteEventsBefore(before) => delete_events(tables, namespace, *before),
        Change::InsertSignal(row) => {
            let place = (namespace.clone(), row.run, row.position);
            return insert(&mut tables.signals, place, Arc::new(row.clone()));
        }
        Change::MarkSignal(id, position, consumed) => {
            return mark_signal(tables, namespace, (*id, *position), *consumed);
        }
        other => return apply_lesser(tables, namespace, other),
    }
    Ok(())
}

fn apply_lesser(tables: &mut Tables, namespace: &Namespace, change: &Change) -> Result<(), String> {
    let ns = namespace.clone();
    match change {
        Change::PutApproval(row) => {
            let place = (ns, row.approval.id);
            Arc::make_mut(&mut tables.approvals).insert(place, Arc::new((**row).clone()));
        }
        Change::PutSession(row) => {
            let place = (ns, row.session.id);
            Arc::make_mut(&mut tables.sessions).insert(place, Arc::new((**row).clone()));
        }
        Change::PutQueue(row) => {
            Arc::make_mut(&mut tables.queues).insert((ns, row.config.name.clone()), row.clone());
        }
        Change::InsertApiKey(row) => {
            if tables.api_keys.values().any(|other| other.secret_hash == row.secret_hash) {
                return Err("there is a key with this secret already".to_owned());
            }
            let place = (row.key.namespace.clone(), row.key.id);
            return insert(&mut tables.api_keys, place, Arc::new((**row).clone()));
        }
        Change::RevokeApiKey(id, at) => {
            if let Some(row) = Arc::make_mut(&mut tables.api_keys).get_mut(&(ns, *id)) {
                Arc::make_mut(row).key.revoked_ms.get_or_insert(*at);
            }
        }
        Change::InsertAudit(row) => Arc::make_mut(&mut tables.audit).push(Arc::new(row.clone())),
        Change::PutBlob { hash, text, run } => {
            let blobs = Arc::make_mut(&mut tables.blobs);
            blobs.entry((ns.clone(), hash.clone())).or_insert_with(|| text.clone());
            Arc::make_mut(&mut tables.blob_refs).insert((ns, *run, hash.clone()));
        }
        Change::AppendStream(rows) => {
            for row in rows {
                let place = (ns.clone(), row.run, row.position);
                insert(&mut tables.streams, place, Arc::new(row.clone()))?;
            }
        }
        Change::PutBuild(build, at) => {
            Arc::make_mut(&mut tables.builds).entry((ns, build.clone())).or_insert(*at);
        }
        other => return Err(format!("the model does not know the change {other:?}")),
    }
    Ok(())
}

fn put_timer(tables: &mut Tables, namespace: &Namespace, row: &TimerRow) {
    delete_timer(tables, namespace, row.run, row.kind, &row.key);
    let place = (namespace.clone(), row.run, row.kind, row.key.clone());
    Arc::make_mut(&mut tables.timers).insert(place, row.at);
    let due = TimerRow { namespace: namespace.clone(), ..row.clone() };
    Arc::make_mut(&mut tables.timers_due).insert(due);
}

fn delete_timer(
    tables: &mut Tables,
    namespace: &Namespace,
    run: RunId,
    kind: TimerKind,
    key: &StepKey,
) {
    let place = (namespace.clone(), run, kind, key.clone());
    if !tables.timers.contains_key(&place) {
        return;
    }
    if let Some(at) = Arc::make_mut(&mut tables.timers).remove(&place) {
        let due = TimerRow { at, namespace: place.0, run, kind, key: place.3 };
        Arc::make_mut(&mut tables.timers_due).remove(&due);
    }
}

/// Removes all timers of a run.
pub(super) fn delete_timers(tables: &mut Tables, namespace: &Namespace, run: RunId) {
    retain(&mut tables.timers, |(ns, id, ..), _| (ns, *id) != (namespace, run));
    retain_set(&mut tables.timers_due, |row| (&row.namespace, row.run) != (namespace, run));
}

fn change_waiters(tables: &mut Tables, namespace: &Namespace, change: &Change) {
    match change {
        Change::PutWaiter(row) => {
            let mut row = row.clone();
            row.namespace = namespace.clone();
            Arc::make_mut(&mut tables.waiters).insert(row);
        }
        Change::DeleteWaiter(row) => {
            let mut row = row.clone();
            row.namespace = namespace.clone();
            Arc::make_mut(&mut tables.waiters).remove(&row);
        }
        Change::DeleteWaiters(run) => delete_waiters(tables, namespace, *run),
        _ => {}
    }
}

/// Removes all waiters of a run.
pub(super) fn delete_waiters(tables: &mut Tables, namespace: &Namespace, run: RunId) {
    retain_set(&mut tables.waiters, |row| (&row.namespace, row.run) != (namespace, run));
}

fn insert_event(tables: &mut Tables, namespace: &Namespace, row: &EventRow) -> Result<(), String> {
    if let Some(key) = &row.key
        && super::list::event_with_key(tables, namespace, &row.topic, key).is_some()
    {
        return Err(format!("there is an event on `{}` under `{key}` already", row.topic));
    }
    let place = (namespace.clone(), row.topic.clone(), row.position);
    insert(&mut tables.events, place, Arc::new(row.clone()))?;
    let topic = (namespace.clone(), row.topic.clone());
    let head = Arc::make_mut(&mut tables.topics).entry(topic).or_default();
    *head = (*head).max(row.position);
    Ok(())
}

fn delete_events(tables: &mut Tables, namespace: &Namespace, before: Millis) {
    retain(&mut tables.events, |(ns, ..), row| ns != namespace || row.at >= before);
}

fn mark_signal(
    tables: &mut Tables,
    namespace: &Namespace,
    (run, position): (RunId, u64),
    consumed: bool,
) -> Result<(), String> {
    let place = (namespace.clone(), run, position);
    let signal = Arc::make_mut(&mut tables.signals).get_mut(&place);
    let signal = signal.ok_or_else(|| format!("there is no signal {position} of `{run}`"))?;
    Arc::make_mut(signal).consumed = consumed;
    Ok(())
}
