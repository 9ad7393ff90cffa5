//! Runs: start, list, look at, and wait for.

use super::body::{JsonBody, LARGE_BODY_BYTES_MAX, off_the_loop};
use super::error::Refusal;
use super::query::{Id, LIMIT, PAGE, Parameter, Query, invalid, parameter};
use super::route::{Route, get, post};
use super::{App, view};
use crate::auth::Caller;
use crate::json;
use crate::worker::hex;
use axum::Json;
use axum::extract::State as Shared;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use polos_engine::{Kept, Request, Response as Answer};
use polos_protocol::frame::Start;
use polos_protocol::limits::{BLOB_BYTES_MAX, VALUE_INLINE_BYTES_MAX};
use polos_protocol::rest::{
    JournalEntry, JournalPage, Page, RunFilter, Scope, StartRequest, StartResponse,
};
use polos_protocol::run::{RunDetail, RunResult, RunSummary};
use polos_protocol::supersede::{Mark, Superseded};
use polos_protocol::{Kind, Namespace, RunId, State};
use polos_store::{Read, ReadError};
use sha2::{Digest, Sha256};
use std::time::Duration;
use tokio::time::Instant;

/// How many bytes of records one page of a journal carries, about.
const JOURNAL_PAGE_BYTES: usize = 1 << 20;
/// The longest that a caller may wait for a result.
const WAIT_MAX_MS: u64 = 60_000;
/// The longest that a long-poll lets changes gather.
const BREATH_MAX: Duration = Duration::from_millis(50);

/// The parameters of a filter, named as in [`RunFilter`].
const FILTER: &[Parameter] = &[
    parameter("state", "array", "any of these states; repeated or separated by commas"),
    parameter("workflow", "string", "the name of what runs"),
    parameter("build", "string", "the build that last recorded"),
    parameter("error", "string", "the code of the error or of the reason for being blocked"),
    parameter("queue", "string", "the queue"),
    parameter("session", "string", "the session"),
    parameter("parent", "string", "children of this run"),
    parameter("root", "string", "the tree of this run"),
    parameter("roots_only", "boolean", "true for runs without a parent only"),
    parameter("label", "array", "`NAME:VALUE`; repeated, all must be there"),
    parameter("created_from_ms", "integer", "created at this time or later"),
    parameter("created_to_ms", "integer", "created before this time"),
];
const AFTER: Parameter = parameter("after", "integer", "records after this sequence number");
const WAIT: Parameter =
    parameter("wait_ms", "integer", "how long to wait for an outcome; up to 60000");
const THROUGH: Parameter = parameter(
    "through_blocked",
    "boolean",
    "true to go on waiting while the run is blocked; else that is answered at once",
);

pub(super) fn routes() -> Vec<Route> {
    vec![
        post("/v1/runs", "Starts a run.", start)
            .needs(Scope::Write)
            .takes::<StartRequest>()
            .makes_once::<StartResponse>(),
        get("/v1/runs", "Lists runs, newest first.", list)
            .needs(Scope::Read)
            .query(FILTER)
            .query(PAGE)
            .answers::<Page<RunSummary>>(),
        get("/v1/runs/{id}", "Shows a run.", show).needs(Scope::Read).answers::<RunDetail>(),
        get("/v1/runs/{id}/journal", "Shows a run's journal, oldest first.", journal)
            .needs(Scope::Read)
            .query(&[AFTER, LIMIT])
            .answers::<JournalPage>(),
        get(
            "/v1/runs/{id}/start",
            "Shows a run as a worker is given it, without its journal.",
            start_of,
        )
        .needs(Scope::Read)
        .answers::<Start>(),
        get("/v1/runs/{id}/result", "Waits for a run's outcome.", result)
            .needs(Scope::Read)
            .query(&[WAIT, THROUGH])
            .answers::<RunResult>(),
    ]
}

async fn start(
    Shared(app): Shared<App>,
    caller: Caller,
    body: JsonBody<StartRequest, LARGE_BODY_BYTES_MAX>,
) -> Result<Response, Refusal> {
    let mut start = Box::new(body.value);
    let request = if start.input.text().len() > VALUE_INLINE_BYTES_MAX {
        drop(body.text);
        let input = std::mem::take(&mut start.input);
        Request::StartWith(start, off_the_loop(move || keep("input", &input)).await?)
    } else {
        check_value("input", &start.input)?;
        Request::Start(start)
    };
    match app.ask(caller.namespace, &caller.principal, request).await? {
        Answer::Started(started) => {
            let status = if started.existing { StatusCode::OK } else { StatusCode::CREATED };
            Ok((status, Json(started)).into_response())
        }
        other => Err(unexpected(&other)),
    }
}

/// Checks a value that is to be kept apart, and names it.
fn keep(what: &str, value: &polos_protocol::Json) -> Result<Kept, Refusal> {
    check_within(what, value.text(), BLOB_BYTES_MAX)?;
    let text = value.text();
    Ok(Kept { hash: hex(&Sha256::digest(text)).into(), text: text.into() })
}

/// Refuses a value that is larger or deeper than a record carries.
pub(super) fn check_value(what: &str, value: &polos_protocol::Json) -> Result<(), Refusal> {
    check_within(what, value.text(), VALUE_INLINE_BYTES_MAX)
}

fn check_within(what: &str, text: &str, bytes_max: usize) -> Result<(), Refusal> {
    if text.len() > bytes_max {
        return Err(Refusal::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "value_too_large",
            format!("`{what}` has {} bytes; the limit is {bytes_max}", text.len()),
            "keep it in a file or a bucket, and send where it is",
        ));
    }
    json::check(text, json::VALUE_DEPTH_MAX)
        .map_err(|error| Refusal::invalid("invalid_json", format!("`{what}`: {error}")))
}

/// The engine has answered another request than was asked.
pub(super) fn unexpected(answer: &Answer) -> Refusal {
    Refusal::internal(&format_args!("an unexpected answer: {answer:?}"))
}

/// Reads a filter from a query.
pub(super) fn filter(query: &Query) -> Result<RunFilter, Refusal> {
    let mut filter = RunFilter {
        workflow: query.one("workflow")?,
        build: query.one("build")?,
        error: query.one("error")?,
        queue: query.one("queue")?,
        session: query.one("session")?,
        parent: query.one("parent")?,
        root: query.one("root")?,
        roots_only: query.one("roots_only")?.unwrap_or(false),
        created_from_ms: query.one("created_from_ms")?,
        created_to_ms: query.one("created_to_ms")?,
        ..RunFilter::default()
    };
    for name in query.list("state") {
        let state = State::from_name(name).ok_or_else(|| {
            let known = State::ALL.map(State::name).join("`, `");
            invalid("state", format!("`{name}` is none of `{known}`"))
        })?;
        filter.state.push(state);
    }
    for label in query.all("label") {
        let (name, value) = label
            .split_once(':')
            .ok_or_else(|| invalid("label", format!("`{label}` is not `NAME:VALUE`")))?;
        filter.labels.insert(name.to_owned(), value.to_owned());
    }
    Ok(filter)
}

async fn list(
    Shared(app): Shared<App>,
    caller: Caller,
    query: Query,
) -> Result<Json<Page<RunSummary>>, Refusal> {
    let (filter, page) = (filter(&query)?, query.page()?);
    let namespace = caller.namespace.clone();
    let found = app.read(move |store| store.runs(&caller.namespace, &filter, &page)).await?;
    let mut items: Vec<RunSummary> = found.items.iter().map(view::summary).collect();
    view::explain_queued(&app, namespace, &found.items, &mut items).await;
    Ok(Json(Page { items, next_cursor: found.next_cursor }))
}

async fn show(
    Shared(app): Shared<App>,
    caller: Caller,
    Id(id): Id<RunId>,
) -> Result<Json<RunDetail>, Refusal> {
    let found = app
        .read(move |store| match store.run(&caller.namespace, id)? {
            Some(run) => view::detail(store, &run).map(Some),
            None => Ok(None),
        })
        .await?;
    let mut detail = found.ok_or_else(|| Refusal::not_found("run", id))?;
    view::explain(&app, &mut detail).await;
    Ok(Json(detail))
}

async fn journal(
    Shared(app): Shared<App>,
    caller: Caller,
    Id(id): Id<RunId>,
    query: Query,
) -> Result<Json<JournalPage>, Refusal> {
    let after = query.one(AFTER.name)?.unwrap_or(0);
    let limit = usize::try_from(query.page()?.limit).unwrap_or(usize::MAX);
    let page =
        app.read(move |store| journal_page(store, &caller.namespace, (id, after), limit)).await?;
    page.map(Json).ok_or_else(|| Refusal::not_found("run", id))
}

fn journal_page(
    store: &dyn Read,
    namespace: &Namespace,
    (run, after): (RunId, u64),
    limit: usize,
) -> Result<Option<JournalPage>, ReadError> {
    if store.run(namespace, run)?.is_none() {
        return Ok(None);
    }
    let superseded = superseded(store, namespace, run)?;
    let mut records = store.journal(namespace, run, after, JOURNAL_PAGE_BYTES)?;
    records.truncate(limit);
    let last = records.last().map_or(after, |record| record.seq);
    let end = store.journal_end(namespace, run)?;
    let records = records
        .into_iter()
        .map(|record| JournalEntry { superseded: superseded.contains(record.seq), record })
        .collect();
    Ok(Some(JournalPage { run, records, next_after: (last < end).then_some(last) }))
}

fn superseded(
    store: &dyn Read,
    namespace: &Namespace,
    run: RunId,
) -> Result<Superseded, ReadError> {
    let marks = store.journal_marks(namespace, run)?;
    let resets: Vec<_> = marks
        .iter()
        .map(|mark| {
            let text = mark.detail.as_deref().filter(|_| mark.kind == Kind::Reset)?.get();
            serde_json::from_str(text).ok()
        })
        .collect();
    Ok(Superseded::of(marks.iter().zip(&resets).map(|(mark, reset)| Mark {
        seq: mark.seq,
        kind: mark.kind,
        key: &mark.key,
        reset: reset.as_ref(),
    })))
}

async fn start_of(
    Shared(app): Shared<App>,
    caller: Caller,
    Id(id): Id<RunId>,
) -> Result<Json<Start>, Refusal> {
    let found = app
        .read(move |store| match store.run(&caller.namespace, id)? {
            Some(run) => view::start(store, &run).map(Some),
            None => Ok(None),
        })
        .await?;
    found.map(Json).ok_or_else(|| Refusal::not_found("run", id))
}

async fn result(
    Shared(app): Shared<App>,
    caller: Caller,
    Id(id): Id<RunId>,
    query: Query,
) -> Result<Json<RunResult>, Refusal> {
    let wait_ms: u64 = query.one(WAIT.name)?.unwrap_or(0);
    if wait_ms > WAIT_MAX_MS {
        return Err(invalid(WAIT.name, format!("it must be at most {WAIT_MAX_MS}")));
    }
    let through = query.one(THROUGH.name)?.unwrap_or(false);
    let begin = Instant::now();
    let until = begin + Duration::from_millis(wait_ms);
    let mut listener = app.handle.changes().listen(&caller.namespace, id);
    loop {
        let namespace = caller.namespace.clone();
        let found = app
            .read(move |store| match store.run(&namespace, id)? {
                Some(run) => view::result(store, &run).map(Some),
                None => Ok(None),
            })
            .await?;
        let result = found.ok_or_else(|| Refusal::not_found("run", id))?;
        let done = result.state.is_ended() || (result.state == State::Blocked && !through);
        if done || Instant::now() >= until {
            return Ok(Json(result));
        }
        let changed = async {
            listener.changed().await;
            if let Some(breath) = breath(begin.elapsed()) {
                tokio::time::sleep(breath).await;
            }
        };
        tokio::select! {
            () = changed => {}
            () = tokio::time::sleep_until(until) => {}
            () = app.stopping.cancelled() => return Ok(Json(result)),
            () = caller.revoked.cancelled() => return Ok(Json(result)),
        }
    }
}

/// How long a long-poll lets changes gather before it reads again: every step is one, and a read for
/// each would cost more than the step. A hundredth of what was waited so far is not felt; a timer
/// cannot do less than a millisecond.
fn breath(waited: Duration) -> Option<Duration> {
    let breath = (waited / 100).min(BREATH_MAX);
    (breath >= Duration::from_millis(1)).then_some(breath)
}
