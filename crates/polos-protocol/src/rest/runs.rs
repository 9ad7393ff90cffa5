//! Runs: start, list and the operators' verbs.

use crate::record::RunOptions;
use crate::{Json, RunId, State, StepKey};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// `POST /v1/runs`
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
pub struct StartRequest {
    /// The name of a workflow, agent or tool.
    pub workflow: String,
    /// Its input; `null` if absent.
    #[serde(default)]
    pub input: Json,
    /// An idempotency key, scoped to namespace and workflow: a second start with the same key and
    /// input gives the same run; with another input it is refused (`start_key_conflict`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// How it is to run.
    #[serde(default)]
    pub options: RunOptions,
    /// True to refuse a name that no connected worker has registered.
    #[serde(default)]
    pub must_exist: bool,
}

/// The answer to a start.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct StartResponse {
    /// The run.
    pub id: RunId,
    /// True if the key had started it before.
    pub existing: bool,
    /// Where it stands.
    pub state: State,
}

/// Which runs a list shows or a verb takes; what is absent does not filter.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RunFilter {
    /// Any of these states.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub state: Vec<State>,
    /// The name of what runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workflow: Option<String>,
    /// The build that last recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub build: Option<String>,
    /// The code of the error or of the reason for being blocked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The queue.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue: Option<String>,
    /// The session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<crate::SessionId>,
    /// Children of this run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<RunId>,
    /// The tree of this run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root: Option<RunId>,
    /// True for runs without a parent only.
    #[serde(default)]
    pub roots_only: bool,
    /// Labels that must all be there.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Created at this time or later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_from_ms: Option<u64>,
    /// Created before this time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_to_ms: Option<u64>,
}

/// What an operator orders. `POST /v1/runs/{id}/cancel` and so on take the fields of their verb;
/// `POST /v1/runs/bulk` takes a [`BulkRequest`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verb {
    /// Raise a cancellation at the next await; cleanup may run for a bounded time.
    Cancel(CancelRequest),
    /// End the run at once, without running any of its code.
    Kill(CancelRequest),
    /// Go on with a blocked or failed run, from the step that failed.
    Resume(ResumeRequest),
    /// Do a step and all after it again.
    Retry(RetryRequest),
    /// Start a new run with the journal up to a step.
    Fork(ForkRequest),
    /// Say how a `once` step in doubt ended.
    Settle(SettleRequest),
}

/// The body of a cancel or kill.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CancelRequest {
    /// Why, for the journal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// The body of a resume.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ResumeRequest {
    /// Accept the disagreement between code and journal that blocked the run, and go on.
    #[serde(default)]
    pub accept: bool,
    /// Let a build older than the newest that recorded in the run take it.
    #[serde(default)]
    pub any_build: bool,
}

/// The body of a retry.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RetryRequest {
    /// The step from which to begin again, as a key; by default the one that failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<StepKey>,
    /// `once` steps in the range that may act again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub again: Vec<StepKey>,
    /// Give keyed effects new idempotency keys.
    #[serde(default)]
    pub new_keys: bool,
}

/// The body of a fork.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ForkRequest {
    /// The first step that is not copied, as a key; by default all that is recorded is copied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<StepKey>,
    /// Another input; only sensible with `at` on the first step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<Json>,
}

/// The body of a settle.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SettleRequest {
    /// The step in doubt, as a key.
    pub step: StepKey,
    /// It is done, with this result. Exclusive with `not_done`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub done: Option<Json>,
    /// It was not done, and is to run.
    #[serde(default)]
    pub not_done: bool,
}

/// `POST /v1/runs/bulk`: a verb for all runs that fit a filter.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct BulkRequest {
    /// Which runs; an empty filter is refused.
    pub filter: RunFilter,
    /// What to do.
    pub verb: Verb,
    /// Only say what would be done.
    #[serde(default)]
    pub dry_run: bool,
    /// Go on after this run: the last one of an earlier, broken-off call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<RunId>,
}

/// The answer to a bulk verb.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
pub struct BulkResponse {
    /// How many runs the verb was, or would be, done to.
    pub done: u64,
    /// The ones that refused, and why.
    pub refused: Vec<BulkRefusal>,
    /// The last run looked at: `after` of the next call if `more`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<RunId>,
    /// True if there are more runs than one call takes.
    pub more: bool,
}

/// A run that refused a bulk verb.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct BulkRefusal {
    /// The run.
    pub id: RunId,
    /// Why.
    pub error: crate::rest::ErrorBody,
}

/// The answer to a verb.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct VerbResponse {
    /// The run; for a fork, the new one.
    pub id: RunId,
    /// Where it stands now.
    pub state: State,
    /// What was done, in one sentence.
    pub message: String,
}
