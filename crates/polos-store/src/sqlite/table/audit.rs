//! The table `audit`: appended, never changed.

use super::super::column::{Columns, Query, int, json};
use super::super::failure::Fault;
use super::super::page;
use super::super::tx::Tx;
use crate::error::ReadError;
use crate::read::{PageOf, PageRequest};
use crate::row::AuditRow;
use polos_protocol::Namespace;
use rusqlite::{Connection, params};

/// Appends a decision.
pub(in crate::sqlite) fn insert(tx: &Tx<'_>, row: &AuditRow) -> Result<(), Fault> {
    let sql = "INSERT INTO audit (namespace, at, principal, action, target, detail) \
               VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
    let detail = json(&row.detail)?;
    tx.execute(
        sql,
        params![tx.namespace, int(row.at), row.principal, row.action, row.target, detail],
    )
    .map(drop)
}

/// The audit log, newest first: in the order in which it was written, whatever the times say.
pub(in crate::sqlite) fn list(
    connection: &Connection,
    namespace: &Namespace,
    request: &PageRequest,
) -> Result<PageOf<AuditRow>, ReadError> {
    let limit = page::limit(request);
    let before = page::cursor(request)?.map_or(i64::MAX, |(position, _)| position);
    let sql = format!(
        "SELECT namespace, position, at, principal, action, target, detail FROM audit \
         WHERE namespace = ?1 AND position < ?2 ORDER BY position DESC LIMIT {}",
        limit + 1
    );
    let rows = Query { connection, table: "audit", key_len: 2, sql: &sql }.all(
        params![namespace.as_str(), before],
        |columns: &mut Columns<'_>| {
            let namespace = columns.parsed()?;
            let position = columns.number()?;
            let row = AuditRow {
                namespace,
                at: columns.number()?,
                principal: columns.get()?,
                action: columns.get()?,
                target: columns.get()?,
                detail: columns.json()?,
            };
            Ok((position, row))
        },
    )?;
    let page = page::cut(rows, limit, |(position, _)| (*position, String::new()));
    let items = page.items.into_iter().map(|(_, row)| row).collect();
    Ok(PageOf { items, next_cursor: page.next_cursor })
}
