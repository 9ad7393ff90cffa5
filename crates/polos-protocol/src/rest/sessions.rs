//! Sessions: a conversation over many runs.

use crate::{Failure, Json, Millis, RunId, SessionId, State};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `POST /v1/sessions`
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
pub struct SessionRequest {
    /// A name for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// Anything the caller wants to keep with it.
    #[serde(default)]
    pub metadata: serde_json::Value,
}

/// A session.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Session {
    /// Its id.
    pub id: SessionId,
    /// A name for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// Anything the caller wants to keep with it.
    #[serde(default)]
    pub metadata: serde_json::Value,
    /// When it was made.
    pub created_ms: Millis,
    /// When a run was last added.
    pub updated_ms: Millis,
}

/// One run of a session as its history tells it, oldest first. `GET /v1/sessions/{id}/turns`
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Turn {
    /// The run.
    pub run: RunId,
    /// What ran.
    pub workflow: String,
    /// Where it stands.
    pub state: State,
    /// What it was given.
    pub input: Json,
    /// What it gave.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<Json>,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Failure>,
    /// When it was started.
    pub created_ms: Millis,
}
