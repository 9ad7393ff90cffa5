//! The audit log: who decided what.

use super::App;
use super::error::Refusal;
use super::query::{PAGE, Query};
use super::route::{Route, get};
use crate::auth::Caller;
use axum::Json;
use axum::extract::State;
use polos_protocol::rest::{AuditEntry, Page, Scope};
use polos_store::row::AuditRow;

pub(super) fn routes() -> Vec<Route> {
    vec![
        get("/v1/audit", "Shows who decided what, newest first.", list)
            .needs(Scope::Admin)
            .query(PAGE)
            .answers::<Page<AuditEntry>>(),
    ]
}

async fn list(
    State(app): State<App>,
    caller: Caller,
    query: Query,
) -> Result<Json<Page<AuditEntry>>, Refusal> {
    let page = query.page()?;
    let found = app.read(move |store| store.audit(&caller.namespace, &page)).await?;
    let items = found.items.into_iter().map(entry).collect();
    Ok(Json(Page { items, next_cursor: found.next_cursor }))
}

fn entry(row: AuditRow) -> AuditEntry {
    let AuditRow { namespace: _, at, principal, action, target, detail } = row;
    AuditEntry { at, principal, action, target, detail }
}
