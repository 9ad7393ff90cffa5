//! Lists of runs: a filter as conditions, newest first, by cursor.

use super::super::column::{Query, int};
use super::super::page;
use super::run;
use crate::error::ReadError;
use crate::read::{PageOf, PageRequest};
use crate::row::Run;
use polos_protocol::rest::RunFilter;
use polos_protocol::{Namespace, State};
use rusqlite::{Connection, ToSql};
use std::fmt::Write as _;

/// Conditions and what they are about, in order.
struct Conditions {
    sql: String,
    params: Vec<Box<dyn ToSql>>,
}

impl Conditions {
    fn and(&mut self, condition: &str, params: Vec<Box<dyn ToSql>>) {
        self.sql.push_str(" AND ");
        self.sql.push_str(condition);
        self.params.extend(params);
    }

    fn and_one(&mut self, condition: &str, param: Option<impl ToSql + 'static>) {
        if let Some(param) = param {
            self.and(condition, vec![Box::new(param)]);
        }
    }
}

/// Runs that fit a filter.
pub(in crate::sqlite) fn list(
    connection: &Connection,
    namespace: &Namespace,
    filter: &RunFilter,
    request: &PageRequest,
) -> Result<PageOf<Run>, ReadError> {
    let mut conditions = conditions(namespace, filter);
    if let Some((created_ms, id)) = page::cursor(request)? {
        let params: Vec<Box<dyn ToSql>> = vec![Box::new(created_ms), Box::new(id)];
        conditions.and("(r.created_ms, r.id) < (?, ?)", params);
    }
    let (columns, inputs) = (run::COLUMNS, run::INPUTS);
    let index = index(filter);
    let mut sql = format!("{columns} INDEXED BY {index} {inputs} WHERE {}", conditions.sql);
    let limit = page::limit(request);
    _ = write!(sql, " ORDER BY r.created_ms DESC, r.id DESC LIMIT {}", limit + 1);
    let runs = Query { connection, table: "runs", key_len: 2, sql: &sql }
        .all(rusqlite::params_from_iter(conditions.params), run::decode)?;
    Ok(page::cut(runs, limit, |run| (run.row.created_ms, run.row.id.to_string())))
}

fn conditions(namespace: &Namespace, filter: &RunFilter) -> Conditions {
    let mut all = Conditions {
        sql: "r.namespace = ?".to_owned(),
        params: vec![Box::new(namespace.as_str().to_owned())],
    };
    if !filter.state.is_empty() {
        all.and(&states(&filter.state), Vec::new());
    }
    all.and_one("r.workflow = ?", filter.workflow.clone());
    all.and_one("r.build = ?", filter.build.clone());
    all.and_one("r.error_code = ?", filter.error.clone());
    all.and_one("r.queue = ?", filter.queue.clone());
    all.and_one("r.session = ?", filter.session.map(|id| id.to_string()));
    all.and_one("r.parent = ?", filter.parent.map(|id| id.to_string()));
    all.and_one("r.root = ?", filter.root.map(|id| id.to_string()));
    all.and_one("r.created_ms >= ?", filter.created_from_ms.map(int));
    all.and_one("r.created_ms < ?", filter.created_to_ms.map(int));
    if filter.roots_only {
        all.and("r.parent IS NULL", Vec::new());
    }
    for (name, value) in &filter.labels {
        let params: Vec<Box<dyn ToSql>> = vec![Box::new(name.clone()), Box::new(value.clone())];
        all.and(
            "EXISTS (SELECT 1 FROM json_each(r.options, '$.labels') WHERE key = ? AND value = ?)",
            params,
        );
    }
    all
}

/// The index that serves a filter best. Left to itself, the planner knows no figures and prefers the
/// newest runs over the few that are blocked.
fn index(filter: &RunFilter) -> &'static str {
    match filter.state.as_slice() {
        _ if filter.parent.is_some() => "runs_parent",
        _ if filter.root.is_some() => "runs_root",
        _ if filter.session.is_some() => "runs_session",
        _ if filter.error.is_some() => "runs_error",
        [State::Queued] => "runs_queued",
        [State::Running] => "runs_running",
        [State::Waiting] => "runs_waiting",
        [State::Blocked] => "runs_blocked",
        _ if filter.workflow.is_some() => "runs_workflow",
        _ => "runs_created",
    }
}

/// One state is a literal, so that its partial index fits.
fn states(states: &[State]) -> String {
    match states {
        [one] => format!("r.state = '{}'", one.name()),
        many => {
            let names: Vec<_> = many.iter().map(|state| format!("'{}'", state.name())).collect();
            format!("r.state IN ({})", names.join(", "))
        }
    }
}
