//! Sessions: a conversation over many runs, and its history.

use super::body::JsonBody;
use super::error::Refusal;
use super::query::{Id, PAGE, Query};
use super::route::{Route, get, post};
use super::runs::unexpected;
use super::{App, view};
use crate::auth::Caller;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use polos_engine::{Request, Response};
use polos_protocol::SessionId;
use polos_protocol::rest::{Page, RunFilter, Scope, Session, SessionRequest, Turn};

pub(super) fn routes() -> Vec<Route> {
    vec![
        post("/v1/sessions", "Makes a session.", create)
            .needs(Scope::Write)
            .takes::<SessionRequest>()
            .makes::<Session>(),
        get("/v1/sessions", "Lists sessions, latest first.", list)
            .needs(Scope::Read)
            .query(PAGE)
            .answers::<Page<Session>>(),
        get("/v1/sessions/{id}", "Shows a session.", show).needs(Scope::Read).answers::<Session>(),
        get(
            "/v1/sessions/{id}/turns",
            "Shows a session's latest turns, oldest first; the next page has those before them.",
            turns,
        )
        .needs(Scope::Read)
        .query(PAGE)
        .answers::<Page<Turn>>(),
    ]
}

async fn create(
    State(app): State<App>,
    caller: Caller,
    body: JsonBody<SessionRequest>,
) -> Result<(StatusCode, Json<Session>), Refusal> {
    let request = Request::CreateSession(body.value);
    match app.ask(caller.namespace, &caller.principal, request).await? {
        Response::Session(session) => Ok((StatusCode::CREATED, Json(*session))),
        other => Err(unexpected(&other)),
    }
}

async fn list(
    State(app): State<App>,
    caller: Caller,
    query: Query,
) -> Result<Json<Page<Session>>, Refusal> {
    let page = query.page()?;
    let found = app.read(move |store| store.sessions(&caller.namespace, &page)).await?;
    let items = found.items.into_iter().map(|row| row.session).collect();
    Ok(Json(Page { items, next_cursor: found.next_cursor }))
}

async fn show(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id<SessionId>,
) -> Result<Json<Session>, Refusal> {
    let found = app.read(move |store| store.session(&caller.namespace, id)).await?;
    found.map(|row| Json(row.session)).ok_or_else(|| Refusal::not_found("session", id))
}

async fn turns(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id<SessionId>,
    query: Query,
) -> Result<Json<Page<Turn>>, Refusal> {
    let page = query.page()?;
    let found = app
        .read(move |store| {
            let namespace = &caller.namespace;
            if store.session(namespace, id)?.is_none() {
                return Ok(None);
            }
            let filter = RunFilter { session: Some(id), roots_only: true, ..RunFilter::default() };
            let runs = store.runs(namespace, &filter, &page)?;
            let turns = runs.items.iter().rev().map(|run| view::turn(store, run));
            let items = turns.collect::<Result<Vec<_>, _>>()?;
            Ok(Some(Page { items, next_cursor: runs.next_cursor }))
        })
        .await?;
    found.map(Json).ok_or_else(|| Refusal::not_found("session", id))
}
