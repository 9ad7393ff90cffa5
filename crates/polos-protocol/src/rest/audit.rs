//! The audit log: who decided what.

use crate::Millis;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A decision of a person or program. `GET /v1/audit`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AuditEntry {
    /// When.
    pub at: Millis,
    /// Who: the name of the key.
    pub principal: String,
    /// What: `run.cancel`, `approval.decide`, `key.create` and so on; with `.refused` at its end,
    /// the entry says that the one before it was refused.
    pub action: String,
    /// To what: an id or a name.
    pub target: String,
    /// The request, without secrets.
    #[serde(default)]
    pub detail: serde_json::Value,
}
