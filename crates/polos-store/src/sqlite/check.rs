//! Whether the database is whole: its pages, its rows, and what must belong together.

use super::Store;
use super::column::{Columns, Misfit, Query, unreadable};
use super::table::{
    api_key, approval, build, event, queue, record, run, session, signal, stream, timer,
};
use crate::error::ReadError;
use rusqlite::Connection;

/// More than a person reads.
const FINDINGS_MAX: usize = 100;

/// Rows of a run, and what to call those without one.
const ORPHANS: [(&str, &str); 5] = [
    ("inputs", "SELECT namespace, run FROM inputs"),
    ("journal", "SELECT DISTINCT namespace, run FROM journal"),
    ("signals", "SELECT DISTINCT namespace, run FROM signals"),
    ("timers", "SELECT DISTINCT namespace, run FROM timers"),
    ("waiters", "SELECT DISTINCT namespace, run FROM waiters"),
];

impl Store {
    /// Reads the whole database, and says what is wrong with it: nothing, if the list is empty.
    /// Takes its time: every page and every row is read.
    ///
    /// # Errors
    /// The database cannot be read at all.
    pub fn check(&self) -> Result<Vec<String>, ReadError> {
        self.reads.with(|connection| {
            let mut findings = pages(connection)?;
            rows(connection, &mut findings);
            if findings.len() < FINDINGS_MAX {
                findings.extend(orphans(connection)?);
            }
            findings.truncate(FINDINGS_MAX);
            Ok(findings)
        })
    }
}

fn pages(connection: &Connection) -> Result<Vec<String>, ReadError> {
    let mut statement = connection.prepare("PRAGMA integrity_check").map_err(unreadable)?;
    let lines = statement.query_map([], |row| row.get::<_, String>(0)).map_err(unreadable)?;
    let lines: Result<Vec<_>, _> = lines.collect();
    let lines = lines.map_err(unreadable)?;
    Ok(lines.into_iter().filter(|line| line != "ok").collect())
}

fn rows(connection: &Connection, findings: &mut Vec<String>) {
    let mut of = |table, key_len, sql: &str, decode: Decode| {
        let query = Query { connection, table, key_len, sql };
        query.damages(decode, findings, FINDINGS_MAX);
    };
    let runs = format!("{} {}", run::COLUMNS, run::INPUTS);
    of("runs", 2, &runs, |columns| run::decode(columns).map(drop));
    of("journal", 3, record::SELECT, |columns| record::decode(columns).map(drop));
    of("timers", 5, timer::SELECT, |columns| timer::decode(columns).map(drop));
    of("events", 3, event::SELECT, |columns| event::decode(columns).map(drop));
    of("signals", 3, signal::SELECT, |columns| signal::decode(columns).map(drop));
    of("approvals", 2, approval::SELECT, |columns| approval::decode(columns).map(drop));
    of("sessions", 2, session::SELECT, |columns| session::decode(columns).map(drop));
    of("streams", 3, stream::SELECT, |columns| stream::decode(columns).map(drop));
    let whole = [
        queue::all(connection).map(drop),
        api_key::all(connection).map(drop),
        build::all(connection).map(drop),
    ];
    findings.extend(whole.into_iter().filter_map(Result::err).map(|error| error.to_string()));
}

type Decode = fn(&mut Columns<'_>) -> Result<(), Misfit>;

fn orphans(connection: &Connection) -> Result<Vec<String>, ReadError> {
    let mut findings = Vec::new();
    for (table, rows) in ORPHANS {
        let sql = format!("{rows} EXCEPT SELECT namespace, id FROM runs LIMIT {FINDINGS_MAX}");
        Query { connection, table, key_len: 2, sql: &sql }.each(
            [],
            |columns| Ok((columns.get::<String>()?, columns.get::<String>()?)),
            |(namespace, run)| {
                findings.push(format!("{table} {namespace}/{run}: there is no such run"));
                true
            },
        )?;
    }
    Ok(findings)
}
