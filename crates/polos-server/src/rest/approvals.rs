//! Approvals: what waits for a person, and the person's answer.

use super::App;
use super::body::JsonBody;
use super::error::Refusal;
use super::query::{Id, PAGE, Parameter, Query, invalid, parameter};
use super::route::{Route, get, post};
use super::runs::unexpected;
use crate::auth::Caller;
use crate::driver::Call;
use axum::Json;
use axum::extract::State;
use polos_engine::{Request, Response};
use polos_protocol::ApprovalId;
use polos_protocol::rest::{Approval, ApprovalState, DecideRequest, Page, Scope};
use polos_store::row::AuditRow;

const FILTER: &[Parameter] = &[
    parameter("state", "string", "`pending`, `approved`, `rejected`, `expired` or `withdrawn`"),
    parameter("run", "string", "the run that asks"),
];

pub(super) fn routes() -> Vec<Route> {
    vec![
        get("/v1/approvals", "Lists approvals, newest first.", list)
            .needs(Scope::Read)
            .query(FILTER)
            .query(PAGE)
            .answers::<Page<Approval>>(),
        get("/v1/approvals/{id}", "Shows an approval.", show)
            .needs(Scope::Read)
            .answers::<Approval>(),
        post("/v1/approvals/{id}/decide", "Answers an approval, once.", decide)
            .needs(Scope::Approve)
            .takes::<DecideRequest>()
            .answers::<Approval>(),
    ]
}

async fn list(
    State(app): State<App>,
    caller: Caller,
    query: Query,
) -> Result<Json<Page<Approval>>, Refusal> {
    let state = match query.one::<String>("state")? {
        Some(name) => Some(
            ApprovalState::from_name(&name)
                .ok_or_else(|| invalid("state", format!("`{name}` is not a state")))?,
        ),
        None => None,
    };
    let (run, page) = (query.one("run")?, query.page()?);
    let found =
        app.read(move |store| store.approvals(&caller.namespace, state, run, &page)).await?;
    let items = found.items.into_iter().map(|row| row.approval).collect();
    Ok(Json(Page { items, next_cursor: found.next_cursor }))
}

async fn show(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id<ApprovalId>,
) -> Result<Json<Approval>, Refusal> {
    let found = app.read(move |store| store.approval(&caller.namespace, id)).await?;
    found.map(|row| Json(row.approval)).ok_or_else(|| Refusal::not_found("approval", id))
}

async fn decide(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id<ApprovalId>,
    body: JsonBody<DecideRequest>,
) -> Result<Json<Approval>, Refusal> {
    let request = body.value;
    // What the person filled in may be private; it stands with the approval itself.
    let detail = serde_json::json!({
        "approved": request.approved,
        "scope": request.scope,
        "subject_hash": request.subject_hash,
        "feedback": request.feedback.is_some(),
        "value": request.value.is_some(),
    });
    let audit = AuditRow {
        namespace: caller.namespace.clone(),
        at: 0,
        principal: caller.principal.to_string(),
        action: "approval.decide".into(),
        target: id.to_string(),
        detail,
    };
    let call = Call {
        namespace: caller.namespace,
        principal: caller.principal,
        request: Request::Decide(id, request),
        audit: Some(audit),
    };
    match app.handle.request(call).await? {
        Response::Decided(approval) => Ok(Json(*approval)),
        other => Err(unexpected(&other)),
    }
}
