//! The table `api_keys`.

use super::super::column::{Columns, Query, int, json};
use super::super::failure::Fault;
use super::super::tx::Tx;
use crate::error::ReadError;
use crate::row::ApiKeyRow;
use polos_protocol::rest::ApiKey;
use polos_protocol::{ApiKeyId, Millis};
use rusqlite::{Connection, params};

/// Adds a key.
pub(in crate::sqlite) fn insert(tx: &Tx<'_>, row: &ApiKeyRow) -> Result<(), Fault> {
    let key = &row.key;
    let sql = "INSERT INTO api_keys (namespace, id, name, scopes, created_ms, revoked_ms, \
               secret_hash) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
    tx.execute(
        sql,
        params![
            key.namespace.as_str(),
            key.id.to_string(),
            key.name,
            json(&key.scopes)?,
            int(key.created_ms),
            key.revoked_ms.map(int),
            row.secret_hash,
        ],
    )
    .map(drop)
}

/// Revokes a key of the namespace, unless it was revoked before.
pub(in crate::sqlite) fn revoke(tx: &Tx<'_>, id: ApiKeyId, at: Millis) -> Result<(), Fault> {
    let sql = "UPDATE api_keys SET revoked_ms = ?3 \
               WHERE namespace = ?1 AND id = ?2 AND revoked_ms IS NULL";
    tx.execute(sql, params![tx.namespace, id.to_string(), int(at)]).map(drop)
}

/// All keys.
pub(in crate::sqlite) fn all(connection: &Connection) -> Result<Vec<ApiKeyRow>, ReadError> {
    let sql = "SELECT namespace, id, name, scopes, created_ms, revoked_ms, secret_hash \
               FROM api_keys ORDER BY namespace, id";
    Query { connection, table: "api_keys", key_len: 2, sql }.all([], |columns: &mut Columns<'_>| {
        Ok(ApiKeyRow {
            key: ApiKey {
                namespace: columns.parsed()?,
                id: columns.parsed()?,
                name: columns.get()?,
                scopes: columns.json()?,
                created_ms: columns.number()?,
                revoked_ms: columns.number_opt()?,
            },
            secret_hash: columns.get()?,
        })
    })
}
