//! Events on topics, and signals to one run: what arrives before anyone waits is kept.

use polos_protocol::{EventId, Millis, Namespace, RunId, Value};

/// An event on a topic. Key: (namespace, topic, position).
#[derive(Debug, Clone, PartialEq)]
pub struct EventRow {
    /// The namespace.
    pub namespace: Namespace,
    /// The topic.
    pub topic: String,
    /// Its place in the topic, from 1.
    pub position: u64,
    /// Its id.
    pub id: EventId,
    /// The idempotency key under which it was published.
    pub key: Option<String>,
    /// What it carries.
    pub payload: Value,
    /// When it was published.
    pub at: Millis,
}

/// A signal in a run's inbox: consumed by deleting it and appending a record in one command.
/// Key: (namespace, run, position).
#[derive(Debug, Clone, PartialEq)]
pub struct SignalRow {
    /// The namespace.
    pub namespace: Namespace,
    /// The run it is for.
    pub run: RunId,
    /// Its place in the run's inbox, from 1, never used again.
    pub position: u64,
    /// Its name.
    pub topic: String,
    /// Its id.
    pub id: EventId,
    /// The idempotency key under which it was sent.
    pub key: Option<String>,
    /// What it carries.
    pub payload: Value,
    /// When it was sent.
    pub at: Millis,
    /// True once a record holds it. Kept for its idempotency key until the run is deleted.
    pub consumed: bool,
}
