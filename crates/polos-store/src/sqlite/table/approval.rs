//! The table `approvals`.

use super::super::column::{Columns, Misfit, Query, int, json};
use super::super::failure::Fault;
use super::super::page;
use super::super::tx::Tx;
use crate::error::ReadError;
use crate::read::{PageOf, PageRequest};
use crate::row::ApprovalRow;
use polos_protocol::rest::ApprovalState;
use polos_protocol::{ApprovalId, Namespace, RunId};
use rusqlite::{Connection, ToSql, params};
use std::fmt::Write as _;

/// The columns of [`decode`].
pub(in crate::sqlite) const SELECT: &str = "SELECT namespace, id, approval FROM approvals ";

/// Writes an approval, new or changed.
pub(in crate::sqlite) fn put(tx: &Tx<'_>, row: &ApprovalRow) -> Result<(), Fault> {
    let approval = &row.approval;
    let sql = "INSERT INTO approvals (namespace, id, run, state, created_ms, approval) \
               VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT (namespace, id) DO UPDATE SET \
               run = excluded.run, state = excluded.state, created_ms = excluded.created_ms, \
               approval = excluded.approval";
    let (id, run) = (approval.id.to_string(), approval.run.to_string());
    let (state, created_ms) = (approval.state.name(), int(approval.created_ms));
    tx.execute(sql, params![tx.namespace, id, run, state, created_ms, json(approval)?]).map(drop)
}

/// True if the approval is there and nobody has answered it.
pub(in crate::sqlite) fn is_pending(tx: &Tx<'_>, id: ApprovalId) -> Result<bool, Fault> {
    let sql = "SELECT 1 FROM approvals WHERE namespace = ?1 AND id = ?2 AND state = 'pending'";
    tx.exists(sql, params![tx.namespace, id.to_string()])
}

/// Deletes a run's approvals.
pub(in crate::sqlite) fn delete_all(tx: &Tx<'_>, run: RunId) -> Result<(), Fault> {
    let sql = "DELETE FROM approvals WHERE namespace = ?1 AND run = ?2";
    tx.execute(sql, params![tx.namespace, run.to_string()]).map(drop)
}

pub(in crate::sqlite) fn decode(columns: &mut Columns<'_>) -> Result<ApprovalRow, Misfit> {
    Ok(ApprovalRow { namespace: columns.parsed()?, approval: columns.skip(1).json()? })
}

/// One approval.
pub(in crate::sqlite) fn one(
    connection: &Connection,
    namespace: &Namespace,
    id: ApprovalId,
) -> Result<Option<ApprovalRow>, ReadError> {
    let sql = format!("{SELECT} WHERE namespace = ? AND id = ?");
    Query { connection, table: "approvals", key_len: 2, sql: &sql }
        .first(params![namespace.as_str(), id.to_string()], decode)
}

/// Approvals of a namespace, newest first.
pub(in crate::sqlite) fn list(
    connection: &Connection,
    namespace: &Namespace,
    state: Option<ApprovalState>,
    run: Option<RunId>,
    request: &PageRequest,
) -> Result<PageOf<ApprovalRow>, ReadError> {
    let mut sql = format!("{SELECT} WHERE namespace = ?");
    let mut params: Vec<Box<dyn ToSql>> = vec![Box::new(namespace.as_str().to_owned())];
    if let Some(state) = state {
        _ = write!(sql, " AND state = '{}'", state.name());
    }
    if let Some(run) = run {
        sql.push_str(" AND run = ?");
        params.push(Box::new(run.to_string()));
    }
    if let Some((created_ms, id)) = page::cursor(request)? {
        sql.push_str(" AND (created_ms, id) < (?, ?)");
        params.extend([Box::new(created_ms) as Box<dyn ToSql>, Box::new(id)]);
    }
    let limit = page::limit(request);
    _ = write!(sql, " ORDER BY created_ms DESC, id DESC LIMIT {}", limit + 1);
    let rows = Query { connection, table: "approvals", key_len: 2, sql: &sql }
        .all(rusqlite::params_from_iter(params), decode)?;
    Ok(page::cut(rows, limit, |row| (row.approval.created_ms, row.approval.id.to_string())))
}
