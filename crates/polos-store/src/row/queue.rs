//! Queues that are configured; one that is not has no limit.

use polos_protocol::{Namespace, QueueConfig};

/// A configured queue. Key: (namespace, config.name).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueRow {
    /// The namespace.
    pub namespace: Namespace,
    /// What it allows.
    pub config: QueueConfig,
    /// True if a person set it: then code that declares the queue does not change it.
    pub by_operator: bool,
}
