//! Where the frames of one connection go: one list a commit, to the connection's own task, which
//! makes text of them.

use polos_protocol::frame::{Fatal, FromServer};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// How many commits' frames may wait for a connection that does not take them.
pub(crate) const OUTBOX_LISTS_MAX: usize = 1024;

/// The driver's end of a connection. Dropped, the connection ends after the frames so far.
#[derive(Debug)]
pub(crate) struct Outbox {
    frames: mpsc::Sender<Vec<FromServer>>,
    kill: CancellationToken,
    /// True once anything was sent: the worker has been welcomed, or refused for good.
    greeted: bool,
}

impl Outbox {
    /// Makes the two ends. Cancelling `kill` ends the connection at once.
    pub(crate) fn new(kill: CancellationToken) -> (Self, mpsc::Receiver<Vec<FromServer>>) {
        let (frames, receiver) = mpsc::channel(OUTBOX_LISTS_MAX);
        (Self { frames, kill, greeted: false }, receiver)
    }

    /// Hands frames over. A connection whose outbox is full ends at once.
    pub(super) fn send(&mut self, frames: Vec<FromServer>) {
        self.greeted = true;
        if let Err(mpsc::error::TrySendError::Full(_)) = self.frames.try_send(frames) {
            tracing::warn!("a worker does not take its frames; its connection ends");
            self.kill.cancel();
        }
    }

    /// Ends the connection with an `error` frame for something that will pass. A worker that has
    /// not been welcomed would take it for a refusal and stay away, so it is told nothing.
    pub(super) fn fail(mut self, fatal: Fatal) {
        if self.greeted {
            self.send(vec![FromServer::Error(fatal)]);
        }
    }
}
