//! What a run is, as others see it.

use crate::record::RunOptions;
use crate::{Blocked, DefinitionKind, Failure, Json, Millis, Namespace, RunId, Wait, WorkerId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The states of a run. Persisted by name.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Ready, and waits for a slot and a worker.
    Queued,
    /// A worker has it.
    Running,
    /// Parked: no thread, no memory, no worker.
    Waiting,
    /// Ended with an output.
    Completed,
    /// Ended with an error.
    Failed,
    /// Ended by a person.
    Cancelled,
    /// Needs a person.
    Blocked,
}

impl State {
    /// All states.
    pub const ALL: [Self; 7] = [
        Self::Queued,
        Self::Running,
        Self::Waiting,
        Self::Completed,
        Self::Failed,
        Self::Cancelled,
        Self::Blocked,
    ];

    /// The name under which the state is persisted and sent.
    pub fn name(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Waiting => "waiting",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Blocked => "blocked",
        }
    }

    /// Reads a persisted name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }

    /// True if the run has ended. (A failed run can still be resumed by a person.)
    pub fn is_ended(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Cancelled)
    }
}

/// A run in a list.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct RunSummary {
    /// Its id.
    pub id: RunId,
    /// Its namespace.
    pub namespace: Namespace,
    /// The name of what it runs.
    pub workflow: String,
    /// What that is.
    pub kind: DefinitionKind,
    /// Where it stands.
    pub state: State,
    /// One sentence: what it waits for, since when, and what would let it go on.
    pub why: String,
    /// The run that started it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<RunId>,
    /// The first run of its tree.
    pub root: RunId,
    /// When it was started.
    pub created_ms: Millis,
    /// When a worker first took it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_ms: Option<Millis>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_ms: Option<Millis>,
    /// The build that last recorded in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub build: Option<String>,
    /// The queue it is in.
    pub queue: String,
}

/// A run, whole but for its journal.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct RunDetail {
    /// What a list shows.
    #[serde(flatten)]
    pub summary: RunSummary,
    /// How it was asked to run.
    pub options: RunOptions,
    /// The key under which it was started, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_key: Option<String>,
    /// Who started it.
    pub principal: String,
    /// What it was given.
    pub input: Json,
    /// What it gave.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<Json>,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Failure>,
    /// Why it is blocked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blocked: Option<Blocked>,
    /// What it waits for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wait: Option<Wait>,
    /// The worker that has it, or had it last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker: Option<WorkerId>,
    /// How often it went to another worker.
    pub assignment: u64,
    /// The highest sequence number of its journal.
    pub seq: u64,
    /// The bytes of its journal.
    pub journal_bytes: u64,
    /// How deep it stands under its root.
    pub depth: u32,
    /// The journal key under which its parent opened it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent_key: Option<String>,
    /// True if somebody asked for its cancellation.
    pub cancel_requested: bool,
    /// The run it was forked from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forked_from: Option<RunId>,
}

/// The outcome of a run, for whoever waits for it.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct RunResult {
    /// Its id.
    pub id: RunId,
    /// Where it stands.
    pub state: State,
    /// What it gave, if it completed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<Json>,
    /// Why it failed or was cancelled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Failure>,
    /// Why it is blocked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blocked: Option<Blocked>,
}
