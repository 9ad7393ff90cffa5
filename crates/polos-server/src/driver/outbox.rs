//! Where the frames of one connection go: one list a commit, to the connection's own task, which
//! makes text of them.

use polos_engine::pager::Order;
use polos_protocol::Record;
use polos_protocol::frame::{Fatal, FromServer};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// How many commits' frames may wait for a connection that does not take them,
const OUTBOX_LISTS_MAX: usize = 1024;
/// and how many bytes, about.
const OUTBOX_BYTES_MAX: usize = 64 << 20;
/// What a frame has beside records and values, about.
const FRAME_BYTES: usize = 256;

/// What one commit has for a connection.
#[derive(Debug, Default)]
pub(crate) struct Letters {
    /// The frames, in order.
    pub(crate) frames: Vec<FromServer>,
    /// Journals to be sent page by page, after them.
    pub(crate) orders: Vec<Order>,
}

/// The driver's end of a connection. Dropped, the connection ends after the frames so far.
#[derive(Debug)]
pub(crate) struct Outbox {
    letters: mpsc::Sender<(usize, Letters)>,
    waiting_bytes: Arc<AtomicUsize>,
    kill: CancellationToken,
    /// True once anything was sent: the worker has been welcomed, or refused for good.
    greeted: bool,
}

/// The connection's end.
#[derive(Debug)]
pub(crate) struct OutboxFrames {
    letters: mpsc::Receiver<(usize, Letters)>,
    waiting_bytes: Arc<AtomicUsize>,
}

impl Outbox {
    /// Makes the two ends. Cancelling `kill` ends the connection at once.
    pub(crate) fn new(kill: CancellationToken) -> (Self, OutboxFrames) {
        let (sender, letters) = mpsc::channel(OUTBOX_LISTS_MAX);
        let waiting_bytes = Arc::new(AtomicUsize::new(0));
        let frames = OutboxFrames { letters, waiting_bytes: Arc::clone(&waiting_bytes) };
        (Self { letters: sender, waiting_bytes, kill, greeted: false }, frames)
    }

    /// Hands frames over. A connection whose outbox is full ends at once.
    pub(super) fn send(&mut self, letters: Letters) {
        self.greeted = true;
        let bytes: usize = letters.frames.iter().map(size).sum();
        let waiting = self.waiting_bytes.fetch_add(bytes, Ordering::Relaxed);
        let sent = self.letters.try_send((bytes, letters));
        // What a single commit has to say is said, however much it is.
        let is_full =
            waiting > OUTBOX_BYTES_MAX || matches!(sent, Err(mpsc::error::TrySendError::Full(_)));
        if is_full {
            tracing::warn!("a worker does not take its frames; its connection ends");
            self.kill.cancel();
        }
    }

    /// Ends the connection with an `error` frame for something that will pass. A worker that has
    /// not been welcomed would take it for a refusal and stay away, so it is told nothing.
    pub(super) fn fail(mut self, fatal: Fatal) {
        if self.greeted {
            let frames = vec![FromServer::Error(fatal)];
            self.send(Letters { frames, ..Letters::default() });
        }
    }
}

impl OutboxFrames {
    /// Waits for what the next commit has; nothing once the driver has let go.
    pub(crate) async fn recv(&mut self) -> Option<Letters> {
        self.letters.recv().await.map(|sent| self.taken(sent))
    }

    /// What is there already.
    pub(crate) fn try_recv(&mut self) -> Option<Letters> {
        self.letters.try_recv().ok().map(|sent| self.taken(sent))
    }

    fn taken(&self, (bytes, letters): (usize, Letters)) -> Letters {
        self.waiting_bytes.fetch_sub(bytes, Ordering::Relaxed);
        letters
    }
}

/// About how many bytes a frame has.
fn size(frame: &FromServer) -> usize {
    let records = |records: &[Record]| records.iter().map(|record| record.record.size()).sum();
    FRAME_BYTES
        + match frame {
            FromServer::Start(start) => {
                records(&start.journal) + start.input.text().map_or(0, str::len)
            }
            FromServer::Append(append) => records(&append.records),
            _ => 0,
        }
}
