//! Live output: where it goes. It is not journaled.

use polos_protocol::frame::{RunRef, StreamItem};

/// Takes the live output of runs.
pub trait Streams: Send + Sync {
    /// One piece, in order.
    fn send(&self, run: RunRef, item: StreamItem);
}

/// Drops live output.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoStreams;

impl Streams for NoStreams {
    fn send(&self, _: RunRef, _: StreamItem) {}
}
