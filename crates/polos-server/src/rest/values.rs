//! Values that journals refer to: large ones are kept apart.

use super::App;
use super::error::Refusal;
use super::route::{Route, get};
use crate::auth::Caller;
use axum::Json;
use axum::extract::{Path, State as Shared};
use polos_protocol::rest::Scope;

pub(super) fn routes() -> Vec<Route> {
    vec![
        get("/v1/values/{hash}", "Shows a value that a journal refers to by hash.", show)
            .needs(Scope::Read)
            .answers::<polos_protocol::Json>(),
    ]
}

async fn show(
    Shared(app): Shared<App>,
    caller: Caller,
    Path(hash): Path<String>,
) -> Result<Json<polos_protocol::Json>, Refusal> {
    let wanted = hash.clone();
    let text = app.read(move |store| store.blob(&caller.namespace, &wanted)).await?;
    let text = text.ok_or_else(|| Refusal::not_found("value", hash))?;
    let json = polos_protocol::Json::from_text(&text);
    json.map(Json).map_err(|error| Refusal::internal(&error))
}
