//! Queues: what they allow, how they stand, pause and resume.

use super::App;
use super::body::JsonBody;
use super::error::Refusal;
use super::query::Id;
use super::route::{Route, get, post, put};
use super::runs::unexpected;
use crate::auth::Caller;
use crate::driver::Call;
use axum::Json;
use axum::extract::State;
use polos_engine::{Request, Response};
use polos_protocol::rest::{Page, QueueRequest, QueueStatus, Scope};
use polos_protocol::{Namespace, QueueConfig};
use polos_store::row::AuditRow;
use polos_store::{Read, ReadError};
use std::collections::BTreeMap;

pub(super) fn routes() -> Vec<Route> {
    vec![
        get("/v1/queues", "Lists queues by name.", list)
            .needs(Scope::Read)
            .answers::<Page<QueueStatus>>(),
        put("/v1/queues/{name}", "Sets what a queue allows.", set)
            .needs(Scope::Admin)
            .takes::<QueueRequest>()
            .answers::<QueueStatus>(),
        post("/v1/queues/{name}/pause", "Starts nothing more from a queue.", pause)
            .needs(Scope::Admin)
            .answers::<QueueStatus>(),
        post("/v1/queues/{name}/resume", "Starts runs from a queue again.", resume)
            .needs(Scope::Admin)
            .answers::<QueueStatus>(),
    ]
}

async fn list(State(app): State<App>, caller: Caller) -> Result<Json<Page<QueueStatus>>, Refusal> {
    let queues = app.read(move |store| queues(store, &caller.namespace)).await?;
    Ok(Json(Page { items: queues.into_values().collect(), next_cursor: None }))
}

/// The queues that are configured, and the ones in which there are runs.
fn queues(
    store: &dyn Read,
    namespace: &Namespace,
) -> Result<BTreeMap<String, QueueStatus>, ReadError> {
    let empty = |config: QueueConfig| QueueStatus { config, queued: 0, running: 0 };
    let mut queues: BTreeMap<String, QueueStatus> = store
        .queues()?
        .into_iter()
        .filter(|row| row.namespace == *namespace)
        .map(|row| (row.config.name.clone(), empty(row.config)))
        .collect();
    for count in store.queue_counts(namespace)? {
        let queue = queues.entry(count.queue.clone()).or_insert_with(|| {
            empty(QueueConfig { name: count.queue.clone(), ..QueueConfig::default() })
        });
        queue.queued = count.queued;
        queue.running = count.running;
    }
    Ok(queues)
}

async fn set(
    State(app): State<App>,
    caller: Caller,
    Id(name): Id<String>,
    body: JsonBody<QueueRequest>,
) -> Result<Json<QueueStatus>, Refusal> {
    let QueueRequest { concurrency, concurrency_per_key, hold } = body.value;
    // Limits say nothing about pausing: what is paused stays so.
    let paused = status(&app, &caller, &name).await?.is_some_and(|queue| queue.config.paused);
    let detail = serde_json::to_value(&body.value).unwrap_or_default();
    let config = QueueConfig { name: name.clone(), concurrency, concurrency_per_key, hold, paused };
    order(&app, &caller, (&name, "set"), Request::PutQueue(config), detail).await
}

async fn pause(
    State(app): State<App>,
    caller: Caller,
    Id(name): Id<String>,
) -> Result<Json<QueueStatus>, Refusal> {
    let request = Request::PauseQueue(name.clone(), true);
    order(&app, &caller, (&name, "pause"), request, serde_json::Value::Null).await
}

async fn resume(
    State(app): State<App>,
    caller: Caller,
    Id(name): Id<String>,
) -> Result<Json<QueueStatus>, Refusal> {
    let request = Request::PauseQueue(name.clone(), false);
    order(&app, &caller, (&name, "resume"), request, serde_json::Value::Null).await
}

async fn order(
    app: &App,
    caller: &Caller,
    (name, verb): (&str, &str),
    request: Request,
    detail: serde_json::Value,
) -> Result<Json<QueueStatus>, Refusal> {
    let audit = AuditRow {
        namespace: caller.namespace.clone(),
        at: 0,
        principal: caller.principal.to_string(),
        action: format!("queue.{verb}"),
        target: name.to_owned(),
        detail,
    };
    let (namespace, principal) = (caller.namespace.clone(), caller.principal.clone());
    let call = Call { namespace, principal, request, audit: Some(audit) };
    let config = match app.handle.request(call).await? {
        Response::Queue(config) => config,
        other => return Err(unexpected(&other)),
    };
    let counts = status(app, caller, name).await?;
    let (queued, running) = counts.map_or((0, 0), |queue| (queue.queued, queue.running));
    Ok(Json(QueueStatus { config, queued, running }))
}

async fn status(app: &App, caller: &Caller, name: &str) -> Result<Option<QueueStatus>, Refusal> {
    let namespace = caller.namespace.clone();
    let mut queues = app.read(move |store| queues(store, &namespace)).await?;
    Ok(queues.remove(name))
}
