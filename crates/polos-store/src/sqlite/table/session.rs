//! The table `sessions`.

use super::super::column::{Columns, Misfit, Query, int, json};
use super::super::failure::Fault;
use super::super::page;
use super::super::tx::Tx;
use crate::error::ReadError;
use crate::read::{PageOf, PageRequest};
use crate::row::SessionRow;
use polos_protocol::rest::Session;
use polos_protocol::{Namespace, SessionId};
use rusqlite::{Connection, params};

/// The columns of [`decode`].
pub(in crate::sqlite) const SELECT: &str =
    "SELECT namespace, id, title, metadata, created_ms, updated_ms FROM sessions ";

/// Writes a session, new or changed.
pub(in crate::sqlite) fn put(tx: &Tx<'_>, row: &SessionRow) -> Result<(), Fault> {
    let session = &row.session;
    let sql = "INSERT INTO sessions (namespace, id, title, metadata, created_ms, updated_ms) \
               VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT (namespace, id) DO UPDATE SET \
               title = excluded.title, metadata = excluded.metadata, \
               created_ms = excluded.created_ms, updated_ms = excluded.updated_ms";
    let (id, metadata) = (session.id.to_string(), json(&session.metadata)?);
    let (created_ms, updated_ms) = (int(session.created_ms), int(session.updated_ms));
    tx.execute(sql, params![tx.namespace, id, session.title, metadata, created_ms, updated_ms])
        .map(drop)
}

pub(in crate::sqlite) fn decode(columns: &mut Columns<'_>) -> Result<SessionRow, Misfit> {
    Ok(SessionRow {
        namespace: columns.parsed()?,
        session: Session {
            id: columns.parsed()?,
            title: columns.get()?,
            metadata: columns.json()?,
            created_ms: columns.number()?,
            updated_ms: columns.number()?,
        },
    })
}

/// One session.
pub(in crate::sqlite) fn one(
    connection: &Connection,
    namespace: &Namespace,
    id: SessionId,
) -> Result<Option<SessionRow>, ReadError> {
    let sql = format!("{SELECT} WHERE namespace = ?1 AND id = ?2");
    Query { connection, table: "sessions", key_len: 2, sql: &sql }
        .first(params![namespace.as_str(), id.to_string()], decode)
}

/// Sessions, latest first.
pub(in crate::sqlite) fn list(
    connection: &Connection,
    namespace: &Namespace,
    request: &PageRequest,
) -> Result<PageOf<SessionRow>, ReadError> {
    let limit = page::limit(request);
    let (updated_ms, id) = page::cursor(request)?.unzip();
    let sql = format!(
        "{SELECT} WHERE namespace = ?1 AND (?2 IS NULL OR (updated_ms, id) < (?2, ?3)) \
         ORDER BY updated_ms DESC, id DESC LIMIT {}",
        limit + 1
    );
    let rows = Query { connection, table: "sessions", key_len: 2, sql: &sql }
        .all(params![namespace.as_str(), updated_ms, id], decode)?;
    Ok(page::cut(rows, limit, |row| (row.session.updated_ms, row.session.id.to_string())))
}
