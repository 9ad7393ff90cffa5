//! The tables `runs` and `inputs`.

use super::super::column::{
    Columns, Misfit, Query, envelope, int, json, only_number, only_parsed, shared,
};
use super::super::failure::Fault;
use super::super::tx::Tx;
use super::{approval, blob, record, signal, start_key, stream, timer, waiter};
use crate::error::ReadError;
use crate::read::{KeptSlot, ReadyRun};
use crate::row::{Run, RunRow, RunStatus};
use polos_protocol::record::RunOptions;
use polos_protocol::{DefinitionKind, Namespace, RunId, StepKey};
use rusqlite::{Connection, OptionalExtension, ToSql, params};
use std::sync::Arc;

/// The columns of [`decode`]; what follows on `runs r` is [`INPUTS`].
pub(in crate::sqlite) const COLUMNS: &str = "\
    SELECT r.namespace, r.id, r.workflow, r.kind, r.start_key, r.seed, r.root, r.parent, \
    r.parent_key, r.detached, r.depth, r.queue, r.options, r.principal, r.forked_from, \
    r.created_ms, r.status, i.envelope, i.value FROM runs r ";

/// Where the inputs come from; to be followed by conditions on `r`.
pub(in crate::sqlite) const INPUTS: &str =
    " LEFT JOIN inputs i ON i.namespace = r.namespace AND i.run = r.id ";

const INSERT: &str = "\
    INSERT INTO runs (namespace, id, workflow, kind, queue, concurrency_key, session, root, parent, \
    parent_key, detached, depth, start_key, seed, principal, forked_from, created_ms, options, \
    state, since_ms, assignment, resumed, build, build_seen_ms, any_build, alone, error_code, \
    ended_ms, slot, status) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, \
    ?, ?, ?, ?, ?, ?, ?, ?)";

const UPDATE: &str = "\
    UPDATE runs SET state = ?, since_ms = ?, assignment = ?, resumed = ?, build = ?, \
    build_seen_ms = ?, any_build = ?, alone = ?, error_code = ?, ended_ms = ?, slot = ?, \
    status = ? \
    WHERE namespace = ? AND id = ?";

pub(in crate::sqlite) fn decode(columns: &mut Columns<'_>) -> Result<Run, Misfit> {
    let mut row = RunRow {
        namespace: columns.parsed()?,
        id: columns.parsed()?,
        workflow: columns.get()?,
        kind: columns.named(DefinitionKind::from_name)?,
        start_key: columns.get()?,
        seed: columns.wrapped(shared)?,
        root: columns.parsed()?,
        parent: columns.parsed_opt()?,
        parent_key: columns.wrapped_opt(StepKey::from_recorded)?,
        detached: columns.get()?,
        depth: columns.number()?,
        queue: columns.get()?,
        options: columns.json()?,
        principal: columns.get()?,
        forked_from: columns.parsed_opt()?,
        created_ms: columns.number()?,
        input: polos_protocol::Value::null(),
    };
    let status = columns.json()?;
    row.input = columns.value()?;
    Ok(Run { row: Arc::new(row), status })
}

/// The columns that follow from the status, in the order in which both statements have them.
struct StatusColumns<'a> {
    status: &'a RunStatus,
    error_code: Option<&'a str>,
    text: String,
}

impl<'a> StatusColumns<'a> {
    fn new(status: &'a RunStatus) -> Result<Self, Fault> {
        let blocked = status.blocked.as_ref().map(|blocked| blocked.code.as_str());
        let error_code = blocked.or(status.error.as_ref().map(|error| error.code.as_str()));
        Ok(Self { status, error_code, text: json(status)? })
    }

    fn params(&self) -> [Box<dyn ToSql + '_>; 12] {
        let status = self.status;
        [
            Box::new(status.state.name()),
            Box::new(int(status.since_ms)),
            Box::new(int(status.assignment)),
            Box::new(status.started_ms.is_some()),
            Box::new(&status.build),
            Box::new(int(status.build_seen_ms)),
            Box::new(status.any_build),
            Box::new(status.alone),
            Box::new(self.error_code),
            Box::new(status.ended_ms.map(int)),
            Box::new(status.slot.map(|run| run.to_string())),
            Box::new(&self.text),
        ]
    }
}

/// Inserts a run with its input and its start key.
pub(in crate::sqlite) fn insert(
    tx: &Tx<'_>,
    row: &RunRow,
    status: &RunStatus,
) -> Result<(), Fault> {
    let own: [&dyn ToSql; 18] = [
        &tx.namespace,
        &row.id.to_string(),
        &row.workflow,
        &row.kind.name(),
        &row.queue,
        &row.options.concurrency_key,
        &row.options.session.map(|id| id.to_string()),
        &row.root.to_string(),
        &row.parent.map(|id| id.to_string()),
        &row.parent_key.as_ref().map(StepKey::as_str),
        &row.detached,
        &row.depth,
        &row.start_key,
        &row.seed,
        &row.principal,
        &row.forked_from.map(|id| id.to_string()),
        &int(row.created_ms),
        &json(&row.options)?,
    ];
    let columns = StatusColumns::new(status)?;
    let changing = columns.params();
    let all = own.into_iter().chain(changing.iter().map(|param| &**param));
    tx.execute(INSERT, rusqlite::params_from_iter(all))?;
    tx.execute(
        "INSERT INTO inputs (namespace, run, envelope, value) VALUES (?1, ?2, ?3, ?4)",
        params![tx.namespace, row.id.to_string(), envelope(&row.input)?, row.input.text()],
    )?;
    if let Some(reference) = row.input.reference() {
        blob::refer(tx, &reference.hash, &row.id.to_string())?;
    }
    row.start_key.as_deref().map_or(Ok(()), |key| start_key::insert(tx, &row.workflow, key, row.id))
}

/// Rewrites where a run stands.
pub(in crate::sqlite) fn update(tx: &Tx<'_>, run: RunId, status: &RunStatus) -> Result<(), Fault> {
    let columns = StatusColumns::new(status)?;
    let changing = columns.params();
    let place: [&dyn ToSql; 2] = [&tx.namespace, &run.to_string()];
    let all = changing.iter().map(|param| &**param).chain(place);
    tx.change_one(UPDATE, rusqlite::params_from_iter(all), || format!("run `{run}`"))
}

/// The assignment of a run, if the run is there.
pub(in crate::sqlite) fn assignment(tx: &Tx<'_>, run: RunId) -> Result<Option<u64>, Fault> {
    let found = tx
        .connection
        .prepare_cached("SELECT assignment FROM runs WHERE namespace = ?1 AND id = ?2")?
        .query_one(params![tx.namespace, run.to_string()], |row| row.get(0))
        .optional()?;
    Ok(found)
}

/// Deletes a run with all that is its own but its start key.
pub(in crate::sqlite) fn delete(tx: &Tx<'_>, run: RunId) -> Result<(), Fault> {
    start_key::release(tx, run)?;
    record::delete_all(tx, run)?;
    signal::delete_all(tx, run)?;
    stream::delete_all(tx, run)?;
    timer::delete_all(tx, run)?;
    waiter::delete_all(tx, run)?;
    approval::delete_all(tx, run)?;
    blob::release(tx, run)?;
    let id = run.to_string();
    tx.execute("DELETE FROM inputs WHERE namespace = ?1 AND run = ?2", params![tx.namespace, id])?;
    tx.execute("DELETE FROM runs WHERE namespace = ?1 AND id = ?2", params![tx.namespace, id])?;
    Ok(())
}

/// One run.
pub(in crate::sqlite) fn one(
    connection: &Connection,
    namespace: &Namespace,
    run: RunId,
) -> Result<Option<Run>, ReadError> {
    let sql = format!("{COLUMNS} {INPUTS} WHERE r.namespace = ?1 AND r.id = ?2");
    Query { connection, table: "runs", key_len: 2, sql: &sql }
        .first(params![namespace.as_str(), run.to_string()], decode)
}

/// The ids that a statement gives as its only column.
fn ids(
    connection: &Connection,
    sql: &str,
    params: impl rusqlite::Params,
) -> Result<Vec<RunId>, ReadError> {
    Query { connection, table: "runs", key_len: 1, sql }.all(params, only_parsed)
}

/// Attached children that have not ended.
pub(in crate::sqlite) fn living_children(
    connection: &Connection,
    namespace: &Namespace,
    parent: RunId,
) -> Result<Vec<RunId>, ReadError> {
    let sql = "SELECT id FROM runs WHERE namespace = ?1 AND parent = ?2 AND NOT detached \
               AND state NOT IN ('completed', 'failed', 'cancelled') ORDER BY id";
    ids(connection, sql, params![namespace.as_str(), parent.to_string()])
}

/// How many runs a run has opened.
pub(in crate::sqlite) fn child_count(
    connection: &Connection,
    namespace: &Namespace,
    parent: RunId,
) -> Result<u32, ReadError> {
    let sql = "SELECT count(*) FROM runs WHERE namespace = ?1 AND parent = ?2";
    Query { connection, table: "runs", key_len: 0, sql }
        .first(params![namespace.as_str(), parent.to_string()], only_number)
        .map(Option::unwrap_or_default)
}

/// All `queued` runs.
pub(in crate::sqlite) fn ready(connection: &Connection) -> Result<Vec<ReadyRun>, ReadError> {
    let sql = "SELECT namespace, id, workflow, queue, concurrency_key, resumed, any_build, build, \
               build_seen_ms, alone, options FROM runs INDEXED BY runs_queued WHERE state = 'queued' \
               ORDER BY namespace, id";
    Query { connection, table: "runs", key_len: 2, sql }.all([], decode_ready)
}

fn decode_ready(columns: &mut Columns<'_>) -> Result<ReadyRun, Misfit> {
    let mut ready = ReadyRun {
        namespace: columns.parsed()?,
        run: columns.parsed()?,
        workflow: columns.get()?,
        queue: columns.get()?,
        concurrency_key: columns.get()?,
        resumed: columns.get()?,
        priority: 0,
        placement: None,
        build: None,
        alone: false,
    };
    let any_build: bool = columns.get()?;
    let build = columns.wrapped_opt(shared)?;
    let seen_ms = columns.number()?;
    ready.alone = columns.get()?;
    let options: RunOptions = columns.json()?;
    ready.priority = options.priority;
    ready.build = build.filter(|_| !any_build).map(|build| (build, seen_ms, options.pin));
    ready.placement = options.placement.map(|placement| (placement.key, placement.require));
    Ok(ready)
}

/// All `running` runs.
pub(in crate::sqlite) fn running(
    connection: &Connection,
) -> Result<Vec<(Namespace, RunId)>, ReadError> {
    let sql = "SELECT namespace, id FROM runs INDEXED BY runs_running WHERE state = 'running' ORDER BY namespace, id";
    Query { connection, table: "runs", key_len: 2, sql }
        .all([], |columns| Ok((columns.parsed()?, columns.parsed()?)))
}

/// The runs that keep a queue slot whatever they do.
pub(in crate::sqlite) fn kept_slots(connection: &Connection) -> Result<Vec<KeptSlot>, ReadError> {
    let sql = "SELECT namespace, id, queue, concurrency_key, slot FROM runs INDEXED BY runs_slot \
               WHERE slot IS NOT NULL ORDER BY namespace, id";
    Query { connection, table: "runs", key_len: 2, sql }.all([], |columns| {
        Ok(KeptSlot {
            namespace: columns.parsed()?,
            run: columns.parsed()?,
            queue: columns.get()?,
            concurrency_key: columns.get()?,
            slot: columns.parsed()?,
        })
    })
}

/// The namespaces that have any run.
pub(in crate::sqlite) fn namespaces(connection: &Connection) -> Result<Vec<Namespace>, ReadError> {
    let sql = "WITH RECURSIVE names (name) AS (\
               SELECT min(namespace) FROM runs UNION ALL \
               SELECT (SELECT min(namespace) FROM runs WHERE namespace > name) FROM names \
               WHERE name IS NOT NULL) \
               SELECT name FROM names WHERE name IS NOT NULL";
    Query { connection, table: "runs", key_len: 1, sql }.all([], only_parsed)
}

/// Ended roots (a detached run is the root of its own tree) with their attached descendants, where
/// all of them have ended; earliest first.
pub(in crate::sqlite) fn ended_roots(
    connection: &Connection,
    namespace: &Namespace,
    before: i64,
    limit: u32,
) -> Result<Vec<Vec<RunId>>, ReadError> {
    let sql = "SELECT id FROM runs INDEXED BY runs_ended WHERE namespace = ?1 AND ended_ms < ?2 \
               AND ended_ms IS NOT NULL AND (parent IS NULL OR detached) \
               AND state IN ('completed', 'failed', 'cancelled') ORDER BY ended_ms, id";
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let mut trees = Vec::new();
    let mut failed = None;
    let roots = Query { connection, table: "runs", key_len: 1, sql };
    roots.each(params![namespace.as_str(), before], only_parsed::<RunId>, |root| {
        if trees.len() == limit {
            return false;
        }
        match ended_tree(connection, namespace, root) {
            Ok(tree) => trees.extend(tree),
            Err(error) => failed = Some(error),
        }
        failed.is_none()
    })?;
    failed.map_or(Ok(trees), Err)
}

fn ended_tree(
    connection: &Connection,
    namespace: &Namespace,
    root: RunId,
) -> Result<Option<Vec<RunId>>, ReadError> {
    let sql = "WITH RECURSIVE tree (id, ended) AS (\
               SELECT ?2, 1 UNION ALL \
               SELECT runs.id, runs.state IN ('completed', 'failed', 'cancelled') \
               FROM tree JOIN runs ON runs.namespace = ?1 AND runs.parent = tree.id \
               WHERE NOT runs.detached) \
               SELECT id, ended FROM tree ORDER BY id <> ?2, id";
    let runs = Query { connection, table: "runs", key_len: 1, sql }
        .all(params![namespace.as_str(), root.to_string()], |columns| {
            Ok((columns.parsed::<RunId>()?, columns.get::<bool>()?))
        })?;
    let whole = runs.iter().all(|(_, ended)| *ended);
    Ok(whole.then(|| runs.into_iter().map(|(id, _)| id).collect()))
}
