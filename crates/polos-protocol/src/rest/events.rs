//! Events: publishing, to a topic or to one run.

use crate::{EventId, Json, Millis, RunId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `POST /v1/events`
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
pub struct PublishRequest {
    /// The topic.
    pub topic: String,
    /// What it carries; `null` if absent.
    #[serde(default)]
    pub payload: Json,
    /// Send it to this run only, as a signal; refused if the run has ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<RunId>,
    /// An idempotency key: a second event with the same key on the topic is not published.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
}

/// The answer to a publish.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct PublishResponse {
    /// The event.
    pub id: EventId,
    /// Its place in its topic, from 1.
    pub position: u64,
    /// True if the key had published it before.
    pub existing: bool,
    /// When it was published.
    pub at: Millis,
}
