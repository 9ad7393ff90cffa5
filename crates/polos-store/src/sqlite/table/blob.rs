//! The tables `blobs` and `blob_refs`: bytes under their hash, and the runs that refer to them.

use super::super::column::{Columns, Query, only_number, shared};
use super::super::failure::Fault;
use super::super::tx::Tx;
use crate::error::ReadError;
use polos_protocol::{Namespace, RunId};
use rusqlite::{Connection, params};
use std::sync::Arc;

/// Keeps bytes, and that a run refers to them.
pub(in crate::sqlite) fn put(tx: &Tx<'_>, hash: &str, text: &str, run: RunId) -> Result<(), Fault> {
    let known = "SELECT 1 FROM blobs WHERE namespace = ?1 AND hash = ?2";
    if !tx.exists(known, params![tx.namespace, hash])? {
        let sql = "INSERT INTO blobs (namespace, hash, text) VALUES (?1, ?2, ?3)";
        tx.execute(sql, params![tx.namespace, hash, text])?;
    }
    refer(tx, hash, &run.to_string())
}

/// A run refers to bytes that are kept already, or will be.
pub(in crate::sqlite) fn refer(tx: &Tx<'_>, hash: &str, run: &str) -> Result<(), Fault> {
    let sql = "INSERT INTO blob_refs (namespace, run, hash) VALUES (?1, ?2, ?3) \
               ON CONFLICT DO NOTHING";
    tx.execute(sql, params![tx.namespace, run, hash]).map(drop)
}

/// The size of bytes to which a run refers.
pub(in crate::sqlite) fn size(
    connection: &Connection,
    namespace: &Namespace,
    run: RunId,
    hash: &str,
) -> Result<Option<u64>, ReadError> {
    let sql = "SELECT octet_length(b.text) FROM blob_refs r JOIN blobs b \
               ON b.namespace = r.namespace AND b.hash = r.hash \
               WHERE r.namespace = ?1 AND r.run = ?2 AND r.hash = ?3";
    Query { connection, table: "blobs", key_len: 0, sql }
        .first(params![namespace.as_str(), run.to_string(), hash], only_number)
}

/// Takes a run's references away, and the blobs to which no other refers.
pub(in crate::sqlite) fn release(tx: &Tx<'_>, run: RunId) -> Result<(), Fault> {
    let run = run.to_string();
    let sql = "DELETE FROM blobs WHERE namespace = ?1 \
               AND hash IN (SELECT hash FROM blob_refs WHERE namespace = ?1 AND run = ?2) \
               AND NOT EXISTS (SELECT 1 FROM blob_refs other WHERE other.namespace = ?1 \
               AND other.hash = blobs.hash AND other.run <> ?2)";
    tx.execute(sql, params![tx.namespace, run])?;
    let sql = "DELETE FROM blob_refs WHERE namespace = ?1 AND run = ?2";
    tx.execute(sql, params![tx.namespace, run]).map(drop)
}

/// A blob's text.
pub(in crate::sqlite) fn text(
    connection: &Connection,
    namespace: &Namespace,
    hash: &str,
) -> Result<Option<Arc<str>>, ReadError> {
    let sql = "SELECT namespace, hash, text FROM blobs WHERE namespace = ?1 AND hash = ?2";
    Query { connection, table: "blobs", key_len: 2, sql }
        .first(params![namespace.as_str(), hash], |columns: &mut Columns<'_>| {
            columns.skip(2).wrapped(shared)
        })
}
