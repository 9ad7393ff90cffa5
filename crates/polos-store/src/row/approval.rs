//! Approvals.

use polos_protocol::Namespace;
use polos_protocol::rest::Approval;

/// A question to a person. Key: (namespace, id).
#[derive(Debug, Clone)]
pub struct ApprovalRow {
    /// The namespace.
    pub namespace: Namespace,
    /// The rest, in the form in which REST shows it.
    pub approval: Approval,
}
