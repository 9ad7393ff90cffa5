//! One batch, one transaction: the fence, then command after command, checks before changes.

use super::failure::Fault;
use super::table::{
    api_key, approval, audit, blob, build, event, queue, record, run, session, signal, start_key,
    stream, timer, waiter,
};
use crate::command::{Batch, Change, Check, Command, Outcome};
use rusqlite::{Connection, Params};

/// The open transaction, and the namespace of the command it is at.
pub(super) struct Tx<'c> {
    pub(super) connection: &'c Connection,
    pub(super) namespace: &'c str,
}

impl Tx<'_> {
    /// Runs a statement; says how many rows it changed.
    pub(super) fn execute(&self, sql: &str, params: impl Params) -> Result<usize, Fault> {
        Ok(self.connection.prepare_cached(sql)?.execute(params)?)
    }

    /// Runs a statement that must change exactly one row.
    pub(super) fn change_one(
        &self,
        sql: &str,
        params: impl Params,
        what: impl FnOnce() -> String,
    ) -> Result<(), Fault> {
        match self.execute(sql, params)? {
            1 => Ok(()),
            _ => Err(Fault::Contradiction(format!("there is no {}", what()))),
        }
    }

    /// Whether a statement finds any row.
    pub(super) fn exists(&self, sql: &str, params: impl Params) -> Result<bool, Fault> {
        Ok(self.connection.prepare_cached(sql)?.exists(params)?)
    }
}

/// Applies a batch inside an open transaction.
pub(super) fn apply(connection: &Connection, batch: &Batch) -> Result<Vec<Outcome>, Fault> {
    let owner = super::meta::get(connection, super::meta::INCARNATION)?;
    if owner != batch.owner {
        return Err(Fault::Fenced { batch: batch.owner, owner });
    }
    batch
        .commands
        .iter()
        .map(|command| {
            let tx = Tx { connection, namespace: command.namespace.as_str() };
            apply_command(&tx, command)
        })
        .collect()
}

fn apply_command(tx: &Tx<'_>, command: &Command) -> Result<Outcome, Fault> {
    for (index, check) in command.checks.iter().enumerate() {
        if !holds(tx, check)? {
            return Ok(Outcome::Refused(index));
        }
    }
    for change in &command.changes {
        apply_change(tx, change)?;
    }
    Ok(Outcome::Applied)
}

fn holds(tx: &Tx<'_>, check: &Check) -> Result<bool, Fault> {
    match check {
        Check::RunAbsent(run) => run::assignment(tx, *run).map(|found| found.is_none()),
        Check::RunAssignment(run, assignment) => {
            run::assignment(tx, *run).map(|found| found == Some(*assignment))
        }
        Check::StartKeyAbsent { workflow, key } => start_key::is_absent(tx, workflow, key),
        Check::ApprovalPending(id) => approval::is_pending(tx, *id),
        Check::EventKeyAbsent { topic, key } => event::key_is_absent(tx, topic, key),
        Check::SignalPending(run, position) => signal::is_pending(tx, *run, *position),
    }
}

fn apply_change(tx: &Tx<'_>, change: &Change) -> Result<(), Fault> {
    match change {
        Change::InsertRun(row, status) => run::insert(tx, row, status),
        Change::UpdateRun(run, status) => run::update(tx, *run, status),
        Change::AppendRecords(run, records) => record::append(tx, *run, records),
        Change::PutTimer(row) => timer::put(tx, row),
        Change::DeleteTimer(run, kind, key) => timer::delete(tx, *run, *kind, key),
        Change::DeleteTimers(run) => timer::delete_all(tx, *run),
        Change::PutWaiter(row) => waiter::put(tx, row),
        Change::DeleteWaiter(row) => waiter::delete(tx, row),
        Change::DeleteWaiters(run) => waiter::delete_all(tx, *run),
        Change::InsertEvent(row) => event::insert(tx, row),
        Change::InsertSignal(row) => signal::insert(tx, row),
        Change::MarkSignal(run, position, consumed) => signal::mark(tx, *run, *position, *consumed),
        Change::PutApproval(row) => approval::put(tx, row),
        Change::PutSession(row) => session::put(tx, row),
        Change::PutQueue(row) => queue::put(tx, row),
        Change::InsertApiKey(row) => api_key::insert(tx, row),
        Change::RevokeApiKey(id, at) => api_key::revoke(tx, *id, *at),
        Change::InsertAudit(row) => audit::insert(tx, row),
        Change::PutBlob { hash, text, run } => blob::put(tx, hash, text, *run),
        Change::AppendStream(rows) => stream::append(tx, rows),
        Change::PutBuild(build, at) => build::put(tx, build, *at),
        Change::DeleteRun(run) => run::delete(tx, *run),
        Change::DeleteStartKeysBefore(before) => start_key::delete_before(tx, *before),
        Change::DeleteEventsBefore(before) => event::delete_before(tx, *before),
    }
}
