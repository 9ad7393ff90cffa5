//! The tables `events` and `topics`.

use super::super::column::{Columns, Misfit, Query, envelope, int, only_number};
use super::super::failure::Fault;
use super::super::tx::Tx;
use crate::error::ReadError;
use crate::row::EventRow;
use polos_protocol::{Millis, Namespace};
use rusqlite::{Connection, Params, params};

/// The columns of [`decode`].
pub(in crate::sqlite) const SELECT: &str =
    "SELECT namespace, topic, position, id, key, at, envelope, payload FROM events ";

/// Publishes an event, and raises its topic's head.
pub(in crate::sqlite) fn insert(tx: &Tx<'_>, row: &EventRow) -> Result<(), Fault> {
    let sql = "INSERT INTO events (namespace, topic, position, id, key, at, envelope, payload) \
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
    tx.execute(
        sql,
        params![
            tx.namespace,
            row.topic,
            int(row.position),
            row.id.to_string(),
            row.key,
            int(row.at),
            envelope(&row.payload)?,
            row.payload.text(),
        ],
    )?;
    let sql = "INSERT INTO topics (namespace, topic, head) VALUES (?1, ?2, ?3) \
               ON CONFLICT (namespace, topic) DO UPDATE SET head = max(head, excluded.head)";
    tx.execute(sql, params![tx.namespace, row.topic, int(row.position)]).map(drop)
}

/// True if no event on the topic was published under the key.
pub(in crate::sqlite) fn key_is_absent(tx: &Tx<'_>, topic: &str, key: &str) -> Result<bool, Fault> {
    let sql = "SELECT 1 FROM events WHERE namespace = ?1 AND topic = ?2 AND key = ?3";
    tx.exists(sql, params![tx.namespace, topic, key]).map(|found| !found)
}

/// Deletes the namespace's events published before a time; the heads of their topics stay.
pub(in crate::sqlite) fn delete_before(tx: &Tx<'_>, before: Millis) -> Result<(), Fault> {
    let sql = "DELETE FROM events WHERE namespace = ?1 AND at < ?2";
    tx.execute(sql, params![tx.namespace, int(before)]).map(drop)
}

pub(in crate::sqlite) fn decode(columns: &mut Columns<'_>) -> Result<EventRow, Misfit> {
    Ok(EventRow {
        namespace: columns.parsed()?,
        topic: columns.get()?,
        position: columns.number()?,
        id: columns.parsed()?,
        key: columns.get()?,
        at: columns.number()?,
        payload: columns.value()?,
    })
}

fn first(
    connection: &Connection,
    rest: &str,
    params: impl Params,
) -> Result<Option<EventRow>, ReadError> {
    let sql = format!("{SELECT} {rest}");
    Query { connection, table: "events", key_len: 3, sql: &sql }.first(params, decode)
}

/// The first event after a place or, from the topic's beginning, at a time or later.
pub(in crate::sqlite) fn next(
    connection: &Connection,
    namespace: &Namespace,
    topic: &str,
    position: u64,
    from_ms: Millis,
) -> Result<Option<EventRow>, ReadError> {
    if position > 0 {
        let rest =
            "WHERE namespace = ?1 AND topic = ?2 AND position > ?3 ORDER BY position LIMIT 1";
        return first(connection, rest, params![namespace.as_str(), topic, int(position)]);
    }
    // By time, not by place: a run that was made just now must not pass over the whole topic.
    let rest = "INDEXED BY events_at WHERE namespace = ?1 AND topic = ?2 AND at >= ?3 \
                ORDER BY position LIMIT 1";
    first(connection, rest, params![namespace.as_str(), topic, int(from_ms)])
}

/// The event that was published under a key.
pub(in crate::sqlite) fn with_key(
    connection: &Connection,
    namespace: &Namespace,
    topic: &str,
    key: &str,
) -> Result<Option<EventRow>, ReadError> {
    let rest = "WHERE namespace = ?1 AND topic = ?2 AND key = ?3";
    first(connection, rest, params![namespace.as_str(), topic, key])
}

/// The highest place that a topic ever had.
pub(in crate::sqlite) fn head(
    connection: &Connection,
    namespace: &Namespace,
    topic: &str,
) -> Result<u64, ReadError> {
    let sql = "SELECT head FROM topics WHERE namespace = ?1 AND topic = ?2";
    Query { connection, table: "topics", key_len: 0, sql }
        .first(params![namespace.as_str(), topic], only_number)
        .map(Option::unwrap_or_default)
}
