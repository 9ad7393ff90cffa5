//! API keys: made, listed, revoked. The secret is shown once and kept nowhere.

use super::App;
use super::body::JsonBody;
use super::error::Refusal;
use super::query::Id;
use super::route::{Route, get, post};
use crate::auth::{Caller, SCOPES, hash_of, new_secret};
use crate::driver::Call;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use polos_engine::Request;
use polos_protocol::limits::NAME_BYTES_MAX;
use polos_protocol::rest::{ApiKey, KeyRequest, KeyResponse, Page, Scope};
use polos_protocol::{ApiKeyId, Namespace};
use polos_store::Change;
use polos_store::row::{ApiKeyRow, AuditRow};

pub(super) fn routes() -> Vec<Route> {
    vec![
        post("/v1/keys", "Makes an API key, and shows its secret once.", create)
            .needs(Scope::Admin)
            .takes::<KeyRequest>()
            .makes::<KeyResponse>(),
        get("/v1/keys", "Lists API keys, without their secrets.", list)
            .needs(Scope::Admin)
            .answers::<Page<ApiKey>>(),
        post("/v1/keys/{id}/revoke", "Revokes an API key, and ends what it has open.", revoke)
            .needs(Scope::Admin)
            .answers::<ApiKey>(),
    ]
}

/// Tells an absent namespace, which means the caller's own, from one that was named.
#[derive(serde::Deserialize)]
struct Named {
    namespace: Option<Namespace>,
}

async fn create(
    State(app): State<App>,
    caller: Caller,
    body: JsonBody<KeyRequest>,
) -> Result<(StatusCode, Json<KeyResponse>), Refusal> {
    let KeyRequest { name, scopes, .. } = body.value;
    let named: Named = serde_json::from_str(&body.text)
        .map_err(|error| Refusal::invalid("invalid_body", error.to_string()))?;
    let namespace = named.namespace.unwrap_or_else(|| caller.namespace.clone());
    if namespace != caller.namespace && !caller.is_root {
        return Err(Refusal::new(
            StatusCode::FORBIDDEN,
            "namespace_refused",
            format!("a key of `{}` makes no keys for `{namespace}`", caller.namespace),
            "use an admin key of `default`",
        ));
    }
    if name.is_empty() || name.len() > NAME_BYTES_MAX || name.chars().any(char::is_control) {
        let message =
            format!("`name` must have 1 to {NAME_BYTES_MAX} bytes, no control characters");
        return Err(Refusal::invalid("bad_name", message));
    }
    let scopes = if scopes.is_empty() { SCOPES.to_vec() } else { scopes };
    let secret = new_secret().map_err(|error| Refusal::internal(&error))?;
    let created_ms = app.handle.clock().now();
    let id = new_id(created_ms)?;
    let key = ApiKey { id, name, namespace, scopes, created_ms, revoked_ms: None };
    let row = ApiKeyRow { key: key.clone(), secret_hash: hash_of(&secret) };
    let detail = serde_json::json!({ "name": key.name, "scopes": key.scopes });
    let change = Change::InsertApiKey(Box::new(row));
    write(&app, &caller, &key, ("create", change, detail)).await?;
    app.keys.add(&key, hash_of(&secret));
    Ok((StatusCode::CREATED, Json(KeyResponse { key, secret })))
}

fn new_id(now: u64) -> Result<ApiKeyId, Refusal> {
    let mut tail = [0; 10];
    getrandom::fill(&mut tail).map_err(|error| Refusal::internal(&error))?;
    Ok(ApiKeyId::from_parts(now, tail))
}

async fn list(State(app): State<App>, caller: Caller) -> Result<Json<Page<ApiKey>>, Refusal> {
    Ok(Json(Page { items: keys(&app, &caller).await?, next_cursor: None }))
}

async fn keys(app: &App, caller: &Caller) -> Result<Vec<ApiKey>, Refusal> {
    let rows = app.read(|store| store.api_keys()).await?;
    let keys = rows.into_iter().map(|row| row.key);
    Ok(keys.filter(|key| key.namespace == caller.namespace).collect())
}

async fn revoke(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id<ApiKeyId>,
) -> Result<Json<ApiKey>, Refusal> {
    let found = keys(&app, &caller).await?.into_iter().find(|key| key.id == id);
    let mut key = found.ok_or_else(|| Refusal::not_found("API key", id))?;
    if key.revoked_ms.is_none() {
        let at = app.handle.clock().now();
        let detail = serde_json::json!({ "name": key.name });
        write(&app, &caller, &key, ("revoke", Change::RevokeApiKey(id, at), detail)).await?;
        key.revoked_ms = Some(at);
    }
    app.keys.revoke(id);
    Ok(Json(key))
}

async fn write(
    app: &App,
    caller: &Caller,
    key: &ApiKey,
    (verb, change, detail): (&str, Change, serde_json::Value),
) -> Result<(), Refusal> {
    let audit = AuditRow {
        namespace: key.namespace.clone(),
        at: 0,
        principal: caller.principal.to_string(),
        action: format!("key.{verb}"),
        target: key.id.to_string(),
        detail,
    };
    let call = Call {
        namespace: key.namespace.clone(),
        principal: caller.principal.clone(),
        request: Request::Write(vec![change]),
        audit: Some(audit),
    };
    app.handle.request(call).await?;
    Ok(())
}
