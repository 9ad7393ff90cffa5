//! Workers: who is connected, and drain.

use super::App;
use super::error::Refusal;
use super::query::Id;
use super::route::{Route, get, post};
use super::runs::unexpected;
use crate::auth::Caller;
use crate::driver::Call;
use axum::Json;
use axum::extract::State;
use polos_engine::{Request, Response};
use polos_protocol::WorkerId;
use polos_protocol::rest::{Page, Scope, WorkerStatus};
use polos_store::row::AuditRow;

pub(super) fn routes() -> Vec<Route> {
    vec![
        get("/v1/workers", "Lists workers.", list)
            .needs(Scope::Read)
            .answers::<Page<WorkerStatus>>(),
        post("/v1/workers/{id}/drain", "Gives a worker nothing new.", drain)
            .needs(Scope::Admin)
            .answers::<WorkerStatus>(),
    ]
}

async fn list(State(app): State<App>, caller: Caller) -> Result<Json<Page<WorkerStatus>>, Refusal> {
    Ok(Json(Page { items: workers(&app, &caller).await?, next_cursor: None }))
}

async fn workers(app: &App, caller: &Caller) -> Result<Vec<WorkerStatus>, Refusal> {
    match app.ask(caller.namespace.clone(), &caller.principal, Request::Workers).await? {
        Response::Workers(workers) => Ok(workers),
        other => Err(unexpected(&other)),
    }
}

async fn drain(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id<WorkerId>,
) -> Result<Json<WorkerStatus>, Refusal> {
    let audit = AuditRow {
        namespace: caller.namespace.clone(),
        at: 0,
        principal: caller.principal.to_string(),
        action: "worker.drain".into(),
        target: id.to_string(),
        detail: serde_json::Value::Null,
    };
    let (namespace, principal) = (caller.namespace.clone(), caller.principal.clone());
    let request = Request::DrainWorker(id);
    app.handle.request(Call { namespace, principal, request, audit: Some(audit) }).await?;
    let found = workers(&app, &caller).await?.into_iter().find(|worker| worker.id == id);
    found.map(Json).ok_or_else(|| Refusal::not_found("worker", id))
}
