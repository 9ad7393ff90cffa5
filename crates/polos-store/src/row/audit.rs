//! The audit log: every human decision.

use polos_protocol::{Millis, Namespace};

/// A decision. Appended, never changed.
#[derive(Debug, Clone, PartialEq)]
pub struct AuditRow {
    /// The namespace.
    pub namespace: Namespace,
    /// When.
    pub at: Millis,
    /// Who: the name of the key.
    pub principal: String,
    /// What: `cancel`, `approve`, `key.create` and so on.
    pub action: String,
    /// To what: an id or a name.
    pub target: String,
    /// The request, without secrets.
    pub detail: serde_json::Value,
}
