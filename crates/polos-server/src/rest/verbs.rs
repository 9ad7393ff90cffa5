//! The operators' verbs: to one run, or to all that fit a filter.

use super::App;
use super::body::JsonBody;
use super::error::Refusal;
use super::query::Id;
use super::route::{Route, post};
use super::runs::{check_value, unexpected};
use crate::auth::Caller;
use crate::driver::Call;
use axum::Json;
use axum::extract::State as Shared;
use futures_util::{StreamExt, stream};
use polos_engine::{Request, Response};
use polos_protocol::RunId;
use polos_protocol::rest::{
    BulkRefusal, BulkRequest, BulkResponse, CancelRequest, ForkRequest, ResumeRequest,
    RetryRequest, RunFilter, Scope, SettleRequest, Verb, VerbResponse,
};
use polos_store::read::PageRequest;
use polos_store::row::{AuditRow, Run};
use polos_store::{Read, ReadError};

/// How many runs one bulk call takes.
const BULK_RUNS_MAX: usize = 500;
/// How many of them are under way at once: they share commits.
const BULK_AT_ONCE: usize = 64;

pub(super) fn routes() -> Vec<Route> {
    vec![
        post("/v1/runs/bulk", "Does a verb to all runs that fit a filter.", bulk)
            .needs(Scope::Write)
            .takes::<BulkRequest>()
            .answers::<BulkResponse>(),
        verb("/v1/runs/{id}/cancel", "Cancels a run; its cleanup may run.", cancel)
            .takes::<CancelRequest>(),
        verb("/v1/runs/{id}/kill", "Ends a run without running its code.", kill)
            .takes::<CancelRequest>(),
        verb("/v1/runs/{id}/resume", "Goes on with a blocked or failed run.", resume)
            .takes::<ResumeRequest>(),
        verb("/v1/runs/{id}/retry", "Does a step and all after it again.", retry)
            .takes::<RetryRequest>(),
        verb("/v1/runs/{id}/fork", "Starts a new run with the journal up to a step.", fork)
            .takes::<ForkRequest>(),
        verb("/v1/runs/{id}/settle", "Says how a step in doubt ended.", settle)
            .takes::<SettleRequest>(),
    ]
}

fn verb<H, T>(path: &'static str, about: &'static str, handler: H) -> Route
where
    H: axum::handler::Handler<T, App>,
    T: 'static,
{
    post(path, about, handler).needs(Scope::Write).answers::<VerbResponse>()
}

type Done = Result<Json<VerbResponse>, Refusal>;

async fn cancel(
    Shared(app): Shared<App>,
    caller: Caller,
    Id(id): Id<RunId>,
    body: JsonBody<CancelRequest>,
) -> Done {
    order(&app, &caller, id, Verb::Cancel(body.value)).await.map(Json)
}

async fn kill(
    Shared(app): Shared<App>,
    caller: Caller,
    Id(id): Id<RunId>,
    body: JsonBody<CancelRequest>,
) -> Done {
    order(&app, &caller, id, Verb::Kill(body.value)).await.map(Json)
}

async fn resume(
    Shared(app): Shared<App>,
    caller: Caller,
    Id(id): Id<RunId>,
    body: JsonBody<ResumeRequest>,
) -> Done {
    order(&app, &caller, id, Verb::Resume(body.value)).await.map(Json)
}

async fn retry(
    Shared(app): Shared<App>,
    caller: Caller,
    Id(id): Id<RunId>,
    body: JsonBody<RetryRequest>,
) -> Done {
    order(&app, &caller, id, Verb::Retry(body.value)).await.map(Json)
}

async fn fork(
    Shared(app): Shared<App>,
    caller: Caller,
    Id(id): Id<RunId>,
    body: JsonBody<ForkRequest>,
) -> Done {
    order(&app, &caller, id, Verb::Fork(body.value)).await.map(Json)
}

async fn settle(
    Shared(app): Shared<App>,
    caller: Caller,
    Id(id): Id<RunId>,
    body: JsonBody<SettleRequest>,
) -> Done {
    order(&app, &caller, id, Verb::Settle(body.value)).await.map(Json)
}

/// Does a verb to a run; what was ordered stands in the audit log from the same commit.
async fn order(app: &App, caller: &Caller, id: RunId, verb: Verb) -> Result<VerbResponse, Refusal> {
    match &verb {
        Verb::Fork(ForkRequest { input: Some(input), .. }) => check_value("input", input)?,
        Verb::Settle(SettleRequest { done: Some(done), .. }) => check_value("done", done)?,
        _ => {}
    }
    let audit = AuditRow {
        namespace: caller.namespace.clone(),
        at: 0,
        principal: caller.principal.to_string(),
        action: format!("run.{}", name(&verb)),
        target: id.to_string(),
        detail: audited(&verb),
    };
    let call = Call {
        namespace: caller.namespace.clone(),
        principal: caller.principal.clone(),
        request: Request::Verb(id, verb),
        audit: Some(audit),
    };
    match app.handle.request(call).await? {
        Response::Done(done) => Ok(done),
        other => Err(unexpected(&other)),
    }
}

fn name(verb: &Verb) -> &'static str {
    match verb {
        Verb::Cancel(_) => "cancel",
        Verb::Kill(_) => "kill",
        Verb::Resume(_) => "resume",
        Verb::Retry(_) => "retry",
        Verb::Fork(_) => "fork",
        Verb::Settle(_) => "settle",
    }
}

/// The verb's fields, without the values that it may carry: those stand in the journal.
fn audited(verb: &Verb) -> serde_json::Value {
    let fields = match verb {
        Verb::Cancel(request) | Verb::Kill(request) => serde_json::to_value(request),
        Verb::Resume(request) => serde_json::to_value(request),
        Verb::Retry(request) => serde_json::to_value(request),
        Verb::Fork(request) => serde_json::to_value(serde_json::json!({
            "at": request.at, "input": request.input.is_some(),
        })),
        Verb::Settle(request) => serde_json::to_value(serde_json::json!({
            "step": request.step, "done": request.done.is_some(), "not_done": request.not_done,
        })),
    };
    fields.unwrap_or_default()
}

async fn bulk(
    Shared(app): Shared<App>,
    caller: Caller,
    body: JsonBody<BulkRequest>,
) -> Result<Json<BulkResponse>, Refusal> {
    let BulkRequest { filter, verb, dry_run, after } = body.value;
    if filter == RunFilter::default() {
        let mut refusal = Refusal::invalid("empty_filter", "the filter takes every run");
        refusal.body.hint = "name a state, workflow, build, error, queue or label".into();
        return Err(refusal);
    }
    let namespace = caller.namespace.clone();
    let (runs, more) = app
        .read(move |store| {
            let from = after.map(|id| store.run(&namespace, id)).transpose()?.flatten();
            chosen(store, &namespace, filter, from.as_ref())
        })
        .await?;
    let mut response = BulkResponse { last: runs.last().copied(), more, ..Default::default() };
    if dry_run {
        response.done = runs.len() as u64;
        return Ok(Json(response));
    }
    let outcomes: Vec<(RunId, Result<VerbResponse, Refusal>)> = stream::iter(runs)
        .map(|id| {
            let (app, caller, verb) = (&app, &caller, verb.clone());
            async move { (id, order(app, caller, id, verb).await) }
        })
        .buffered(BULK_AT_ONCE)
        .collect()
        .await;
    for (id, outcome) in outcomes {
        match outcome {
            Ok(_) => response.done += 1,
            Err(refusal) => response.refused.push(BulkRefusal { id, error: refusal.body }),
        }
    }
    Ok(Json(response))
}

/// The runs of one call, newest first, after the last one of the call before; and whether there
/// are more. They are chosen before anything is done to them, so that the doing moves no page.
fn chosen(
    store: &dyn Read,
    namespace: &polos_protocol::Namespace,
    mut filter: RunFilter,
    after: Option<&Run>,
) -> Result<(Vec<RunId>, bool), ReadError> {
    let place = |run: &Run| (run.row.created_ms, run.row.id);
    if let Some(run) = after {
        let before = run.row.created_ms + 1;
        filter.created_to_ms = Some(filter.created_to_ms.map_or(before, |to| to.min(before)));
    }
    let limit = polos_protocol::rest::PAGE_ITEMS_MAX;
    let mut page = PageRequest { cursor: None, limit };
    let mut runs: Vec<RunId> = Vec::new();
    loop {
        let found = store.runs(namespace, &filter, &page)?;
        let new = found.items.iter().filter(|run| after.is_none_or(|a| place(run) < place(a)));
        runs.extend(new.map(|run| run.row.id));
        if runs.len() > BULK_RUNS_MAX {
            runs.truncate(BULK_RUNS_MAX);
            return Ok((runs, true));
        }
        match found.next_cursor {
            Some(cursor) => page.cursor = Some(cursor),
            None => return Ok((runs, false)),
        }
    }
}
