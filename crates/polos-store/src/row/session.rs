//! Sessions.

use polos_protocol::Namespace;
use polos_protocol::rest::Session;

/// A conversation. Key: (namespace, id).
#[derive(Debug, Clone)]
pub struct SessionRow {
    /// The namespace.
    pub namespace: Namespace,
    /// The rest, in the form in which REST shows it.
    pub session: Session,
}
