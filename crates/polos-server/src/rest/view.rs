//! Runs as REST shows them: rows of the store, put into the protocol's words.

use super::App;
use super::error::Refusal;
use polos_engine::{Request, Response};
use polos_protocol::frame::Start;
use polos_protocol::rest::Turn;
use polos_protocol::run::{RunDetail, RunResult, RunSummary};
use polos_protocol::{Json, Namespace, State, Value};
use polos_store::read::ReadyRun;
use polos_store::row::{Run, RunStatus};
use polos_store::{Read, ReadError};

/// A value as JSON, fetched if it is kept by reference.
pub(super) fn json(
    store: &dyn Read,
    namespace: &Namespace,
    value: &Value,
) -> Result<Json, ReadError> {
    if let Some(json) = value.to_json() {
        return Ok(json);
    }
    let Some(reference) = value.reference() else { return Ok(Json::default()) };
    let damaged = |message: &str| ReadError::Damaged {
        row: format!("blob {}", reference.hash),
        message: message.to_owned(),
    };
    let text = store.blob(namespace, &reference.hash)?.ok_or_else(|| damaged("it is gone"))?;
    Json::from_text(&text).map_err(|error| damaged(&error.to_string()))
}

fn output(store: &dyn Read, run: &Run) -> Result<Option<Json>, ReadError> {
    run.status.output.as_ref().map(|value| json(store, &run.row.namespace, value)).transpose()
}

/// A run in a list.
pub(super) fn summary(run: &Run) -> RunSummary {
    let (row, status) = (&run.row, &run.status);
    RunSummary {
        id: row.id,
        namespace: row.namespace.clone(),
        workflow: row.workflow.clone(),
        kind: row.kind,
        state: status.state,
        why: why(status, &row.queue),
        parent: row.parent,
        root: row.root,
        created_ms: row.created_ms,
        started_ms: status.started_ms,
        ended_ms: status.ended_ms,
        build: status.build.as_deref().map(str::to_owned),
        queue: row.queue.clone(),
    }
}

/// A run, whole but for its journal.
pub(super) fn detail(store: &dyn Read, run: &Run) -> Result<RunDetail, ReadError> {
    let (row, status) = (&run.row, &run.status);
    Ok(RunDetail {
        summary: summary(run),
        options: row.options.clone(),
        start_key: row.start_key.clone(),
        principal: row.principal.clone(),
        input: json(store, &row.namespace, &row.input)?,
        output: output(store, run)?,
        error: status.error.clone(),
        blocked: status.blocked.clone(),
        wait: status.wait.clone(),
        worker: status.worker,
        assignment: status.assignment,
        seq: store.journal_end(&row.namespace, row.id)?,
        journal_bytes: store.journal_bytes(&row.namespace, row.id)?,
        depth: row.depth,
        parent_key: row.parent_key.as_ref().map(|key| key.as_str().to_owned()),
        cancel_requested: status.cancelling.is_some(),
        forked_from: row.forked_from,
    })
}

/// A run as its next worker would be given it, without its journal: for a dry replay.
pub(super) fn start(store: &dyn Read, run: &Run) -> Result<Start, ReadError> {
    let (row, status) = (&run.row, &run.status);
    Ok(Start {
        run: row.id,
        assignment: status.assignment,
        workflow: row.workflow.clone(),
        kind: row.kind,
        input: row.input.clone(),
        seed: row.seed.clone(),
        created_ms: row.created_ms,
        now: row.created_ms,
        options: row.options.clone(),
        root: row.root,
        parent: row.parent,
        depth: row.depth,
        build: status.build.clone(),
        principal: row.principal.clone(),
        previous: status.previous,
        lost: status.lost.clone(),
        alone: status.alone,
        key_generation: status.key_generation,
        settled: status.settled.clone(),
        accepted: status.accepted.clone(),
        journal: Vec::new(),
        seq: store.journal_end(&row.namespace, row.id)?,
    })
}

/// The outcome of a run, as far as there is one.
pub(super) fn result(store: &dyn Read, run: &Run) -> Result<RunResult, ReadError> {
    let status = &run.status;
    let blocked = status.blocked.clone().filter(|_| status.state == State::Blocked);
    Ok(RunResult {
        id: run.row.id,
        state: status.state,
        output: output(store, run)?,
        error: status.error.clone(),
        blocked,
    })
}

/// A run as its session's history tells it.
pub(super) fn turn(store: &dyn Read, run: &Run) -> Result<Turn, ReadError> {
    Ok(Turn {
        run: run.row.id,
        workflow: run.row.workflow.clone(),
        state: run.status.state,
        input: json(store, &run.row.namespace, &run.row.input)?,
        output: output(store, run)?,
        error: run.status.error.clone(),
        created_ms: run.row.created_ms,
    })
}

/// Why a run stands where it stands, as far as its own row says. The engine knows more:
/// [`explain`] of one, [`explain_queued`] of a list.
pub(super) fn why(status: &RunStatus, queue: &str) -> String {
    let because = |why: Option<&str>, or: &str| why.unwrap_or(or).to_owned();
    let failure = status.error.as_ref().map(|error| error.message.as_str());
    let sentence = match status.state {
        State::Queued => format!("waits in queue `{queue}` for a slot and a worker"),
        State::Running => "a worker has it".to_owned(),
        State::Waiting => because(status.why.as_deref(), "waits"),
        State::Completed => "completed".to_owned(),
        State::Failed => because(failure, "failed"),
        State::Cancelled => because(failure, "cancelled"),
        State::Blocked => match &status.blocked {
            Some(blocked) if blocked.hint.is_empty() => blocked.message.clone(),
            Some(blocked) => format!("{}; {}", blocked.message, blocked.hint),
            None => "needs a person".to_owned(),
        },
    };
    match &status.cancelling {
        Some(by) if !status.state.is_ended() => {
            format!("is being cancelled, as `{}` asked; {sentence}", by.by)
        }
        _ => sentence,
    }
}

/// Lets the engine say why a run stands where it stands: it knows places in queues, workers and
/// children. While it cannot, the row's own words stay.
pub(super) async fn explain(app: &App, detail: &mut RunDetail) {
    if detail.summary.state.is_ended() || detail.cancel_requested {
        return;
    }
    let namespace = detail.summary.namespace.clone();
    let request = Request::Explain(detail.summary.id);
    if let Ok(Response::Why(why)) = app.ask(namespace, "", request).await {
        detail.summary.why = why;
    }
}

/// Lets the engine say of a list's queued runs what each waits for, all at once.
pub(super) async fn explain_queued(
    app: &App,
    namespace: Namespace,
    runs: &[Run],
    list: &mut [RunSummary],
) {
    let is_queued =
        |run: &&Run| run.status.state == State::Queued && run.status.cancelling.is_none();
    let queued: Vec<ReadyRun> = runs.iter().filter(is_queued).map(ReadyRun::of).collect();
    if queued.is_empty() {
        return;
    }
    let request = Request::ExplainQueued(queued);
    if let Ok(Response::Whys(mut whys)) = app.ask(namespace, "", request).await {
        for summary in list {
            if let Some(why) = whys.remove(&summary.id) {
                summary.why = why;
            }
        }
    }
}

impl App {
    /// Asks the engine for something that needs no audit.
    pub(super) async fn ask(
        &self,
        namespace: Namespace,
        principal: &str,
        request: Request,
    ) -> Result<Response, Refusal> {
        let principal = principal.into();
        let call = crate::driver::Call { namespace, principal, request, audit: None };
        Ok(self.handle.request(call).await?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use polos_protocol::Blocked;

    fn check(change: impl FnOnce(&mut RunStatus), expect: &str) {
        let mut status = RunStatus::queued(1);
        change(&mut status);
        assert_eq!(why(&status, "q"), expect);
    }

    #[test]
    fn every_state_has_a_sentence() {
        check(|_| {}, "waits in queue `q` for a slot and a worker");
        check(|status| status.state = State::Waiting, "waits");
        check(
            |status| {
                status.state = State::Blocked;
                status.blocked = Some(Blocked {
                    code: "poison".into(),
                    message: "it killed its workers".into(),
                    hint: "mend it".into(),
                    step: None,
                    difference: None,
                    failure: None,
                    since: 1,
                });
            },
            "it killed its workers; mend it",
        );
    }
}
