//! What the connected workers can run: workflows, agents and tools.

use super::App;
use super::error::Refusal;
use super::query::{Parameter, Query, invalid, parameter};
use super::route::{Route, get};
use super::runs::unexpected;
use crate::auth::Caller;
use axum::Json;
use axum::extract::State;
use polos_engine::{Request, Response};
use polos_protocol::DefinitionKind;
use polos_protocol::rest::{DefinitionStatus, Page, Scope};

const KIND: Parameter = parameter("kind", "string", "`workflow`, `agent` or `tool`");

pub(super) fn routes() -> Vec<Route> {
    vec![
        get("/v1/definitions", "Lists what connected workers can run.", list)
            .needs(Scope::Read)
            .query(&[KIND])
            .answers::<Page<DefinitionStatus>>(),
    ]
}

async fn list(
    State(app): State<App>,
    caller: Caller,
    query: Query,
) -> Result<Json<Page<DefinitionStatus>>, Refusal> {
    let kind = match query.one::<String>(KIND.name)? {
        Some(name) => Some(
            DefinitionKind::from_name(&name)
                .ok_or_else(|| invalid(KIND.name, format!("`{name}` is not a kind")))?,
        ),
        None => None,
    };
    let answer = app.ask(caller.namespace, &caller.principal, Request::Definitions).await?;
    let Response::Definitions(mut items) = answer else { return Err(unexpected(&answer)) };
    items.retain(|status| kind.is_none_or(|kind| status.definition.kind == kind));
    Ok(Json(Page { items, next_cursor: None }))
}
