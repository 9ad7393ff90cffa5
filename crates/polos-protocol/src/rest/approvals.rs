//! Approvals: what waits for a person.

use crate::record::{Answer, OpenApproval};
use crate::{ApprovalId, Millis, RunId, StepKey};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Where an approval stands. Persisted by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ApprovalState {
    /// Nobody has answered.
    Pending,
    /// Somebody said yes, or gave an answer.
    Approved,
    /// Somebody said no.
    Rejected,
    /// Its time passed.
    Expired,
    /// Its run has ended or does not ask any more.
    Withdrawn,
}

impl ApprovalState {
    /// The name under which it is persisted and sent.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Approved => "approved",
            Self::Rejected => "rejected",
            Self::Expired => "expired",
            Self::Withdrawn => "withdrawn",
        }
    }

    /// Reads a persisted name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Pending, Self::Approved, Self::Rejected, Self::Expired, Self::Withdrawn]
            .into_iter()
            .find(|state| state.name() == name)
    }
}

/// A question to a person.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Approval {
    /// Its id.
    pub id: ApprovalId,
    /// The run that asks.
    pub run: RunId,
    /// What runs there.
    pub workflow: String,
    /// The step that asks.
    pub key: StepKey,
    /// Where it stands.
    pub state: ApprovalState,
    /// What is asked.
    #[serde(flatten)]
    pub question: OpenApproval,
    /// Since when.
    pub created_ms: Millis,
    /// The answer, once there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<Answer>,
}

/// `POST /v1/approvals/{id}/decide`
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DecideRequest {
    /// Yes or no.
    pub approved: bool,
    /// What else the person says; it reaches the model or the code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub feedback: Option<String>,
    /// The filled form, or changed arguments.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<serde_json::Value>,
    /// `once` (default), `run`, `session` or `always`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
    /// The hash of what the person saw; refused if the question has another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject_hash: Option<String>,
}
