//! Events: publishing, to a topic or to one run.

use super::App;
use super::body::JsonBody;
use super::error::Refusal;
use super::route::{Route, post};
use super::runs::{check_value, unexpected};
use crate::auth::Caller;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use polos_engine::{Request, Response as Answer};
use polos_protocol::rest::{PublishRequest, PublishResponse, Scope};

pub(super) fn routes() -> Vec<Route> {
    vec![
        post("/v1/events", "Publishes an event, or sends a signal to a run.", publish)
            .needs(Scope::Write)
            .takes::<PublishRequest>()
            .makes_once::<PublishResponse>(),
    ]
}

async fn publish(
    State(app): State<App>,
    caller: Caller,
    body: JsonBody<PublishRequest>,
) -> Result<Response, Refusal> {
    check_value("payload", &body.value.payload)?;
    let request = Request::Publish(body.value);
    match app.ask(caller.namespace, &caller.principal, request).await? {
        Answer::Published(published) => {
            let status = if published.existing { StatusCode::OK } else { StatusCode::CREATED };
            Ok((status, Json(published)).into_response())
        }
        other => Err(unexpected(&other)),
    }
}
