//! The server itself: health, version, the worker's socket, and this interface's description.

use super::error::Refusal;
use super::route::{Route, get};
use super::{App, openapi};
use crate::auth::Caller;
use crate::worker::{self, Admission};
use axum::Json;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use polos_protocol::frame::VERSIONS;
use polos_protocol::rest::{Health, Scope, Version};

pub(super) fn routes() -> Vec<Route> {
    vec![
        get("/v1/health", "Says whether the server takes writes.", health).answers::<Health>(),
        get("/v1/version", "Says which server this is, and the time.", version)
            .needs(Scope::Read)
            .answers::<Version>(),
        get("/v1/worker", "Connects a worker over WebSocket.", connect)
            .needs(Scope::Worker)
            .other(101, "the frames of the worker protocol follow"),
        get("/openapi.json", "Describes this interface.", describe)
            .other(200, "an OpenAPI 3.1 document"),
    ]
}

async fn health(State(app): State<App>) -> Response {
    let message = app.handle.health().problem();
    let (status, word) = match message {
        None => (StatusCode::OK, "ok"),
        Some(_) => (StatusCode::SERVICE_UNAVAILABLE, "degraded"),
    };
    (status, Json(Health { status: word.into(), message })).into_response()
}

async fn version(State(app): State<App>, caller: Caller) -> Json<Version> {
    Json(Version {
        version: app.version.clone(),
        protocol: VERSIONS,
        schema: app.schema,
        incarnation: app.handle.incarnation(),
        namespace: caller.namespace,
        now: app.handle.clock().now(),
    })
}

async fn connect(
    State(app): State<App>,
    caller: Caller,
    request: Request,
) -> Result<Response, Refusal> {
    // A refusal within the socket would keep the worker away for good.
    if let Some(problem) = app.handle.health().problem() {
        let hint = "connect again later";
        let status = StatusCode::SERVICE_UNAVAILABLE;
        return Err(Refusal::new(status, "store_unavailable", problem, hint));
    }
    let admission = Admission {
        namespace: caller.namespace,
        revoked: caller.revoked,
        stopping: app.stopping.clone(),
    };
    worker::upgrade(app.handle.clone(), admission, app.sockets.clone(), request)
}

async fn describe() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], openapi::text()).into_response()
}
