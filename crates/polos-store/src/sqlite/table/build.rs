//! The table `builds`: when each build was first seen.

use super::super::column::{Columns, Query, int, shared};
use super::super::failure::Fault;
use super::super::tx::Tx;
use crate::error::ReadError;
use polos_protocol::Millis;
use rusqlite::{Connection, params};
use std::sync::Arc;

/// Remembers when a build was first seen, unless it was before.
pub(in crate::sqlite) fn put(tx: &Tx<'_>, build: &str, at: Millis) -> Result<(), Fault> {
    let sql = "INSERT INTO builds (namespace, build, seen_ms) VALUES (?1, ?2, ?3) \
               ON CONFLICT DO NOTHING";
    tx.execute(sql, params![tx.namespace, build, int(at)]).map(drop)
}

/// All builds; one seen in several namespaces counts from the first.
pub(in crate::sqlite) fn all(
    connection: &Connection,
) -> Result<Vec<(Arc<str>, Millis)>, ReadError> {
    let sql = "SELECT build, min(seen_ms) FROM builds GROUP BY build ORDER BY build";
    Query { connection, table: "builds", key_len: 1, sql }
        .all([], |columns: &mut Columns<'_>| Ok((columns.wrapped(shared)?, columns.number()?)))
}
