//! Waiters: which runs wait on a topic.

use polos_protocol::{Namespace, RunId, StepKey};

/// An opened wait on a topic of the namespace. Key: (namespace, topic, run, key).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct WaiterRow {
    /// The namespace.
    pub namespace: Namespace,
    /// The topic.
    pub topic: String,
    /// The run.
    pub run: RunId,
    /// The opened wait.
    pub key: StepKey,
}
