//! The calls, one method each.

use crate::client::{Client, ClientError, encode};
use polos_protocol::frame::Start;
use polos_protocol::rest::{
    ApiKey, Approval, ApprovalState, BulkRequest, BulkResponse, CancelRequest, DecideRequest,
    DefinitionStatus, ForkRequest, Health, JournalPage, KeyRequest, KeyResponse, Page,
    PublishRequest, PublishResponse, QueueRequest, QueueStatus, ResumeRequest, RetryRequest,
    RunFilter, Session, SessionRequest, SettleRequest, StartRequest, StartResponse, Turn,
    VerbResponse, Version, WorkerStatus,
};
use polos_protocol::run::{RunDetail, RunResult, RunSummary};
use polos_protocol::{ApiKeyId, ApprovalId, DefinitionKind, Json, RunId, SessionId, WorkerId};
use serde::Serialize;
use std::time::Duration;

/// How long one long poll waits.
const POLL_MS: u64 = 25_000;

/// Which runs are listed.
#[derive(Debug, Clone, Default)]
pub struct RunsQuery {
    /// What they must fit.
    pub filter: RunFilter,
    /// Where to go on: `next_cursor` of the page before.
    pub cursor: Option<String>,
    /// How many a page.
    pub limit: Option<u32>,
}

/// Which approvals are listed.
#[derive(Debug, Clone, Default)]
pub struct ApprovalsQuery {
    /// Where they stand; all if absent.
    pub state: Option<ApprovalState>,
    /// Of this run only.
    pub run: Option<RunId>,
    /// Where to go on.
    pub cursor: Option<String>,
    /// How many a page.
    pub limit: Option<u32>,
}

type Query = Vec<(&'static str, String)>;

fn page(query: &mut Query, cursor: Option<&str>, limit: Option<u32>) {
    query.extend(cursor.map(|cursor| ("cursor", cursor.to_owned())));
    query.extend(limit.map(|limit| ("limit", limit.to_string())));
}

fn filter(filter: &RunFilter) -> Query {
    let mut query: Query = filter.state.iter().map(|s| ("state", s.name().to_owned())).collect();
    query.extend(filter.workflow.clone().map(|value| ("workflow", value)));
    query.extend(filter.build.clone().map(|value| ("build", value)));
    query.extend(filter.error.clone().map(|value| ("error", value)));
    query.extend(filter.queue.clone().map(|value| ("queue", value)));
    query.extend(filter.session.map(|value| ("session", value.to_string())));
    query.extend(filter.parent.map(|value| ("parent", value.to_string())));
    query.extend(filter.root.map(|value| ("root", value.to_string())));
    if filter.roots_only {
        query.push(("roots_only", "true".to_owned()));
    }
    for (name, value) in &filter.labels {
        query.push(("label", format!("{name}:{value}")));
    }
    query.extend(filter.created_from_ms.map(|value| ("created_from_ms", value.to_string())));
    query.extend(filter.created_to_ms.map(|value| ("created_to_ms", value.to_string())));
    query
}

/// Runs.
impl Client {
    /// Starts a run of a workflow, agent or tool.
    pub async fn start(
        &self,
        workflow: &str,
        input: &(impl Serialize + ?Sized),
    ) -> Result<StartResponse, ClientError> {
        let input = Json::from_serialize(input).map_err(|cause| ClientError::Answer {
            path: "/v1/runs".to_owned(),
            message: format!("the input cannot be written as JSON: {cause}"),
        })?;
        let request =
            StartRequest { workflow: workflow.to_owned(), input, ..StartRequest::default() };
        self.start_run(&request).await
    }

    /// Starts a run, with a start key, options and so on.
    pub async fn start_run(&self, request: &StartRequest) -> Result<StartResponse, ClientError> {
        self.post("/v1/runs", request).await
    }

    /// A page of runs, newest first.
    pub async fn runs(&self, query: &RunsQuery) -> Result<Page<RunSummary>, ClientError> {
        let mut pairs = filter(&query.filter);
        page(&mut pairs, query.cursor.as_deref(), query.limit);
        self.get("/v1/runs", &pairs).await
    }

    /// A run, whole but for its journal.
    pub async fn run(&self, id: RunId) -> Result<RunDetail, ClientError> {
        self.get(&format!("/v1/runs/{id}"), &[]).await
    }

    /// A page of a run's journal, oldest first, after a sequence number.
    pub async fn journal(
        &self,
        id: RunId,
        after: u64,
        limit: Option<u32>,
    ) -> Result<JournalPage, ClientError> {
        let mut query: Query = vec![("after", after.to_string())];
        page(&mut query, None, limit);
        self.get(&format!("/v1/runs/{id}/journal"), &query).await
    }

    /// A run as a worker is given it, without its journal: what a dry replay begins with.
    pub async fn start_of(&self, id: RunId) -> Result<Start, ClientError> {
        self.get(&format!("/v1/runs/{id}/start"), &[]).await
    }

    /// A value that a journal refers to by hash.
    pub async fn value(&self, hash: &str) -> Result<Json, ClientError> {
        self.get(&format!("/v1/values/{}", encode(hash)), &[]).await
    }

    /// The outcome of a run, waiting for it at most this long.
    pub async fn result(&self, id: RunId, wait: Duration) -> Result<RunResult, ClientError> {
        let wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX).min(POLL_MS);
        let query = [("wait_ms", wait_ms.to_string())];
        let limit = Duration::from_millis(wait_ms) + Duration::from_secs(15);
        self.get_within(&format!("/v1/runs/{id}/result"), &query, limit).await
    }

    /// Waits until a run has ended or is blocked.
    pub async fn wait(&self, id: RunId) -> Result<RunResult, ClientError> {
        loop {
            let result = self.result(id, Duration::from_millis(POLL_MS)).await?;
            if result.state.is_ended() || result.blocked.is_some() {
                return Ok(result);
            }
        }
    }

    /// Cancels a run: its code may clean up.
    pub async fn cancel(
        &self,
        id: RunId,
        request: &CancelRequest,
    ) -> Result<VerbResponse, ClientError> {
        self.post(&format!("/v1/runs/{id}/cancel"), request).await
    }

    /// Ends a run at once, without running any of its code.
    pub async fn kill(
        &self,
        id: RunId,
        request: &CancelRequest,
    ) -> Result<VerbResponse, ClientError> {
        self.post(&format!("/v1/runs/{id}/kill"), request).await
    }

    /// Goes on with a blocked or failed run.
    pub async fn resume(
        &self,
        id: RunId,
        request: &ResumeRequest,
    ) -> Result<VerbResponse, ClientError> {
        self.post(&format!("/v1/runs/{id}/resume"), request).await
    }

    /// Does a step and all after it again.
    pub async fn retry(
        &self,
        id: RunId,
        request: &RetryRequest,
    ) -> Result<VerbResponse, ClientError> {
        self.post(&format!("/v1/runs/{id}/retry"), request).await
    }

    /// Starts a new run with the journal up to a step.
    pub async fn fork(
        &self,
        id: RunId,
        request: &ForkRequest,
    ) -> Result<VerbResponse, ClientError> {
        self.post(&format!("/v1/runs/{id}/fork"), request).await
    }

    /// Says how a `once` step in doubt ended.
    pub async fn settle(
        &self,
        id: RunId,
        request: &SettleRequest,
    ) -> Result<VerbResponse, ClientError> {
        self.post(&format!("/v1/runs/{id}/settle"), request).await
    }

    /// Does a verb to all runs that fit a filter.
    pub async fn bulk(&self, request: &BulkRequest) -> Result<BulkResponse, ClientError> {
        self.post("/v1/runs/bulk", request).await
    }
}

/// People, events and sessions.
impl Client {
    /// A page of approvals, newest first.
    pub async fn approvals(&self, query: &ApprovalsQuery) -> Result<Page<Approval>, ClientError> {
        let mut pairs = Query::new();
        pairs.extend(query.state.map(|state| ("state", state.name().to_owned())));
        pairs.extend(query.run.map(|run| ("run", run.to_string())));
        page(&mut pairs, query.cursor.as_deref(), query.limit);
        self.get("/v1/approvals", &pairs).await
    }

    /// An approval.
    pub async fn approval(&self, id: ApprovalId) -> Result<Approval, ClientError> {
        self.get(&format!("/v1/approvals/{id}"), &[]).await
    }

    /// Answers an approval.
    pub async fn decide(
        &self,
        id: ApprovalId,
        request: &DecideRequest,
    ) -> Result<Approval, ClientError> {
        self.post(&format!("/v1/approvals/{id}/decide"), request).await
    }

    /// Publishes an event, or sends a signal to one run.
    pub async fn publish(&self, request: &PublishRequest) -> Result<PublishResponse, ClientError> {
        self.post("/v1/events", request).await
    }

    /// Makes a session.
    pub async fn create_session(&self, request: &SessionRequest) -> Result<Session, ClientError> {
        self.post("/v1/sessions", request).await
    }

    /// A page of sessions, newest first.
    pub async fn sessions(
        &self,
        cursor: Option<&str>,
        limit: Option<u32>,
    ) -> Result<Page<Session>, ClientError> {
        let mut query = Query::new();
        page(&mut query, cursor, limit);
        self.get("/v1/sessions", &query).await
    }

    /// A session.
    pub async fn session(&self, id: SessionId) -> Result<Session, ClientError> {
        self.get(&format!("/v1/sessions/{id}"), &[]).await
    }

    /// A page of a session's runs, oldest first.
    pub async fn turns(
        &self,
        id: SessionId,
        cursor: Option<&str>,
        limit: Option<u32>,
    ) -> Result<Page<Turn>, ClientError> {
        let mut query = Query::new();
        page(&mut query, cursor, limit);
        self.get(&format!("/v1/sessions/{id}/turns"), &query).await
    }
}

/// Operating a server.
impl Client {
    /// All queues.
    pub async fn queues(&self) -> Result<Page<QueueStatus>, ClientError> {
        self.get("/v1/queues", &[]).await
    }

    /// Makes or changes a queue.
    pub async fn set_queue(
        &self,
        name: &str,
        request: &QueueRequest,
    ) -> Result<QueueStatus, ClientError> {
        self.send(reqwest::Method::PUT, &format!("/v1/queues/{}", encode(name)), request).await
    }

    /// Starts nothing new from a queue.
    pub async fn pause_queue(&self, name: &str) -> Result<QueueStatus, ClientError> {
        self.post(&format!("/v1/queues/{}/pause", encode(name)), &serde_json::json!({})).await
    }

    /// Goes on with a paused queue.
    pub async fn resume_queue(&self, name: &str) -> Result<QueueStatus, ClientError> {
        self.post(&format!("/v1/queues/{}/resume", encode(name)), &serde_json::json!({})).await
    }

    /// The workers that are, or were lately, connected.
    pub async fn workers(&self) -> Result<Page<WorkerStatus>, ClientError> {
        self.get("/v1/workers", &[]).await
    }

    /// Has a worker take no new runs and give back the ones it has.
    pub async fn drain_worker(&self, id: WorkerId) -> Result<WorkerStatus, ClientError> {
        self.post(&format!("/v1/workers/{id}/drain"), &serde_json::json!({})).await
    }

    /// What can be run, by kind.
    pub async fn definitions(
        &self,
        kind: Option<DefinitionKind>,
    ) -> Result<Page<DefinitionStatus>, ClientError> {
        let query: Query = kind.map(|kind| ("kind", kind.name().to_owned())).into_iter().collect();
        self.get("/v1/definitions", &query).await
    }

    /// Makes an API key. The answer is the only place where its secret stands.
    pub async fn create_key(&self, request: &KeyRequest) -> Result<KeyResponse, ClientError> {
        self.post("/v1/keys", request).await
    }

    /// All API keys, without their secrets.
    pub async fn keys(&self) -> Result<Page<ApiKey>, ClientError> {
        self.get("/v1/keys", &[]).await
    }

    /// Revokes an API key.
    pub async fn revoke_key(&self, id: ApiKeyId) -> Result<ApiKey, ClientError> {
        self.post(&format!("/v1/keys/{id}/revoke"), &serde_json::json!({})).await
    }

    /// How the server is.
    pub async fn health(&self) -> Result<Health, ClientError> {
        self.get("/v1/health", &[]).await
    }

    /// What the server is.
    pub async fn version(&self) -> Result<Version, ClientError> {
        self.get("/v1/version", &[]).await
    }
}
