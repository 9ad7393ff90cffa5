//! The handle: how everything else reaches the driver and the store.

use super::message::{Message, Reply};
use crate::changes::Changes;
use crate::clock::Clock;
use crate::health::Health;
use polos_engine::error::Class;
use polos_engine::{ConnectionId, Error, Request, Response};
use polos_protocol::Namespace;
use polos_store::row::AuditRow;
use polos_store::{Read, ReadError, Store};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::{Semaphore, mpsc, oneshot};

/// How many reads may block at once. The store has four readers: one stays for the engine.
const READS_MAX: usize = 3;
/// How long a call may wait for its place in the driver's channel.
const QUEUE_WAIT_MAX: Duration = Duration::from_secs(10);

/// A request with who asks. An audit entry is committed in the same batch as the request itself;
/// if the engine refuses the request, a second entry says so.
#[derive(Debug, Clone)]
pub struct Call {
    /// The namespace it is for.
    pub namespace: Namespace,
    /// Who asks: the name of the key.
    pub principal: Arc<str>,
    /// What for.
    pub request: Request,
    /// What the audit log is to say; `at` is set by the driver.
    pub audit: Option<AuditRow>,
}

/// Reaches a running [`super::Service`]. Cheap to clone.
#[derive(Clone)]
pub struct Handle(Arc<Shared>);

pub(super) struct Shared {
    pub(super) messages: mpsc::Sender<Message>,
    pub(super) store: Arc<dyn Store>,
    pub(super) clock: Clock,
    pub(super) changes: Changes,
    pub(super) health: Health,
    pub(super) grace: Duration,
    pub(super) connections: AtomicU64,
    pub(super) reads: Semaphore,
    /// Where the driver was made: tasks of workers of this process run there.
    pub(super) runtime: Option<tokio::runtime::Handle>,
}

impl Handle {
    pub(super) fn new(
        messages: mpsc::Sender<Message>,
        store: Arc<dyn Store>,
        clock: Clock,
        grace: Duration,
    ) -> Self {
        Self(Arc::new(Shared {
            messages,
            store,
            clock,
            changes: Changes::default(),
            health: Health::default(),
            grace,
            connections: AtomicU64::new(1),
            reads: Semaphore::new(READS_MAX),
            runtime: tokio::runtime::Handle::try_current().ok(),
        }))
    }

    /// Asks the engine, and waits until what it did is durable.
    pub async fn request(&self, call: Call) -> Result<Response, Error> {
        let (reply, answer) = oneshot::channel();
        self.queue(call, reply).await?;
        answer.await.unwrap_or_else(|_| Err(stopped()))
    }

    async fn queue(&self, call: Call, reply: Reply) -> Result<(), Error> {
        let message = Message::Call(Box::new(call), reply);
        match self.0.messages.send_timeout(message, QUEUE_WAIT_MAX).await {
            Ok(()) => Ok(()),
            Err(mpsc::error::SendTimeoutError::Closed(_)) => Err(stopped()),
            Err(mpsc::error::SendTimeoutError::Timeout(_)) => Err(Error::new(
                Class::Unavailable,
                "overloaded",
                "the server has more to do than it can",
                "try again later",
            )),
        }
    }

    /// Reads from the store without blocking the caller's thread.
    pub async fn read<T, F>(&self, read: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: FnOnce(&dyn Read) -> Result<T, ReadError> + Send + 'static,
    {
        self.try_read(read).await?.map_err(Error::from)
    }

    /// As [`Handle::read`], with the store's own error.
    pub(crate) async fn try_read<T, F>(&self, read: F) -> Result<Result<T, ReadError>, Error>
    where
        T: Send + 'static,
        F: FnOnce(&dyn Read) -> Result<T, ReadError> + Send + 'static,
    {
        let permit = self.0.reads.acquire().await.map_err(|_| stopped())?;
        let store = Arc::clone(&self.0.store);
        let done = tokio::task::spawn_blocking(move || read(&*store)).await;
        drop(permit);
        Ok(done.unwrap_or_else(|failed| {
            tracing::error!(%failed, "a read did not end well");
            Err(ReadError::Database("the read broke off".into()))
        }))
    }

    /// The server's time.
    pub fn clock(&self) -> &Clock {
        &self.0.clock
    }

    /// Counts the store's lives.
    pub fn incarnation(&self) -> u64 {
        self.0.store.incarnation()
    }

    /// Runs a task where the driver was made, else where the caller is.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        match &self.0.runtime {
            Some(runtime) => runtime.spawn(task),
            None => tokio::spawn(task),
        };
    }

    pub(crate) fn changes(&self) -> &Changes {
        &self.0.changes
    }

    pub(crate) fn health(&self) -> &Health {
        &self.0.health
    }

    /// How long a connection that ended may take to come back.
    pub(crate) fn grace(&self) -> Duration {
        self.0.grace
    }

    pub(crate) fn next_connection(&self) -> ConnectionId {
        ConnectionId(self.0.connections.fetch_add(1, Ordering::Relaxed))
    }

    /// Gives the driver something; waits while its channel is full.
    pub(crate) async fn send(&self, message: Message) -> Result<(), Error> {
        self.0.messages.send(message).await.map_err(|_| stopped())
    }

    /// Lets the driver end after what it has been given so far.
    pub(crate) async fn stop(&self) {
        let _ = self.0.messages.send(Message::Stop).await;
    }
}

impl std::fmt::Debug for Handle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Handle").field("incarnation", &self.incarnation()).finish_non_exhaustive()
    }
}

pub(super) fn stopped() -> Error {
    Error::new(
        Class::Unavailable,
        "server_stopping",
        "the server is stopping",
        "try again when it is back",
    )
}
