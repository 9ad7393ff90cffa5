//! Live output of steps: not journal entries, resumable by position.

use polos_protocol::frame::StreamItem;
use polos_protocol::{Millis, Namespace, RunId};

/// One piece of live output. Key: (namespace, run, position).
#[derive(Debug, Clone)]
pub struct StreamRow {
    /// The namespace.
    pub namespace: Namespace,
    /// The run.
    pub run: RunId,
    /// Its place in the run's output, from 1.
    pub position: u64,
    /// When it came.
    pub at: Millis,
    /// What it is.
    pub item: StreamItem,
}
