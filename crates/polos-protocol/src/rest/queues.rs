//! Queues: what they allow, and how they stand.

use crate::QueueConfig;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A queue and how it stands.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct QueueStatus {
    /// What it allows.
    #[serde(flatten)]
    pub config: QueueConfig,
    /// Runs that wait for a slot or a worker.
    pub queued: u64,
    /// Runs that hold a slot.
    pub running: u64,
}

/// `PUT /v1/queues/{name}`: absent limits mean no limit.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct QueueRequest {
    /// How many runs may run at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<u32>,
    /// How many runs of one concurrency key may run at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrency_per_key: Option<u32>,
    /// True if runs keep their slot while they wait.
    #[serde(default)]
    pub hold: bool,
}
