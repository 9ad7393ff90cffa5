//! The table `timers`.

use super::super::column::{Columns, Misfit, Query, int};
use super::super::failure::Fault;
use super::super::tx::Tx;
use crate::error::ReadError;
use crate::row::{TimerKind, TimerRow};
use polos_protocol::{RunId, StepKey};
use rusqlite::{Connection, params};

/// The columns of [`decode`].
pub(in crate::sqlite) const SELECT: &str = "SELECT at, namespace, run, kind, key FROM timers ";

/// Sets a timer, or moves it.
pub(in crate::sqlite) fn put(tx: &Tx<'_>, row: &TimerRow) -> Result<(), Fault> {
    let sql = "INSERT INTO timers (namespace, run, kind, key, at) VALUES (?1, ?2, ?3, ?4, ?5) \
               ON CONFLICT (namespace, run, kind, key) DO UPDATE SET at = excluded.at";
    let (run, kind) = (row.run.to_string(), row.kind as u8);
    tx.execute(sql, params![tx.namespace, run, kind, row.key.as_str(), int(row.at)]).map(drop)
}

/// Removes a timer, if it is there.
pub(in crate::sqlite) fn delete(
    tx: &Tx<'_>,
    run: RunId,
    kind: TimerKind,
    key: &StepKey,
) -> Result<(), Fault> {
    let sql = "DELETE FROM timers WHERE namespace = ?1 AND run = ?2 AND kind = ?3 AND key = ?4";
    tx.execute(sql, params![tx.namespace, run.to_string(), kind as u8, key.as_str()]).map(drop)
}

/// Removes all timers of a run.
pub(in crate::sqlite) fn delete_all(tx: &Tx<'_>, run: RunId) -> Result<(), Fault> {
    let sql = "DELETE FROM timers WHERE namespace = ?1 AND run = ?2";
    tx.execute(sql, params![tx.namespace, run.to_string()]).map(drop)
}

pub(in crate::sqlite) fn decode(columns: &mut Columns<'_>) -> Result<TimerRow, Misfit> {
    Ok(TimerRow {
        at: columns.number()?,
        namespace: columns.parsed()?,
        run: columns.parsed()?,
        kind: columns.numbered(TimerKind::from_number)?,
        key: columns.wrapped(StepKey::from_recorded)?,
    })
}

/// Timers after a place, in their own order.
pub(in crate::sqlite) fn after(
    connection: &Connection,
    after: Option<&TimerRow>,
    limit: u32,
) -> Result<Vec<TimerRow>, ReadError> {
    let condition = match after {
        Some(_) => "WHERE (at, namespace, run, kind, key) > (?2, ?3, ?4, ?5, ?6)",
        None => "",
    };
    let sql = format!(
        "{SELECT} {condition} \
         ORDER BY at, namespace, run, kind, key LIMIT ?1"
    );
    let query = Query { connection, table: "timers", key_len: 5, sql: &sql };
    let Some(row) = after else { return query.all([limit], decode) };
    let (run, kind) = (row.run.to_string(), row.kind as u8);
    let place = params![limit, int(row.at), row.namespace.as_str(), run, kind, row.key.as_str()];
    query.all(place, decode)
}
