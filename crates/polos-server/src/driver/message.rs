//! What the driver's channel carries.

use super::handle::Call;
use super::outbox::Outbox;
use polos_engine::pager::Ended;
use polos_engine::{ConnectionId, Error, Response};
use polos_protocol::frame::{FromWorker, Hello};
use polos_protocol::{Namespace, RunId, WorkerId};
use std::sync::Arc;
use tokio::sync::oneshot;

/// How a call is answered.
pub(crate) type Reply = oneshot::Sender<Result<Response, Error>>;

/// Something for the driver.
#[derive(Debug)]
pub(crate) enum Message {
    /// A worker has said hello; its frames go into the outbox.
    Connect { connection: ConnectionId, namespace: Namespace, hello: Box<Hello>, outbox: Outbox },
    /// A worker has sent a frame.
    Frame { connection: ConnectionId, frame: Box<FromWorker> },
    /// The last page of an order is about to be sent.
    Paged { connection: ConnectionId, ended: Ended },
    /// A worker's value is complete and checked.
    Blob { connection: ConnectionId, run: RunId, hash: Arc<str>, text: Arc<str> },
    /// A connection has ended.
    Disconnect { connection: ConnectionId },
    /// A worker's process is gone.
    WorkerDead { worker: WorkerId },
    /// Somebody asks for something.
    Call(Box<Call>, Reply),
    /// Finish what came before this, and end.
    Stop,
}
