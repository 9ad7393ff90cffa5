//! One connection, from `hello` to its end, whatever carries it.

use super::bulk::Bulk;
use super::process::Watch;
use super::uploads::Uploads;
use super::writer::{Own, Writer};
use super::{Admission, Incoming, Outgoing, fatal, hello};
use crate::driver::{Handle, Message, Outbox};
use futures_util::{Sink, Stream, StreamExt};
use polos_engine::ConnectionId;
use polos_protocol::frame::{Fatal, FromWorker, Hello, StoreRequest};
use polos_protocol::{Namespace, WorkerId};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// How long a connection may take to say `hello`.
const HELLO_MAX: Duration = Duration::from_secs(5);
/// How long the last frames of a connection may take to leave.
const FAREWELL_MAX: Duration = Duration::from_secs(2);
/// How much the receiving side may want of the writer before it waits for it.
const OWN_MAX: usize = 64;
/// Larger values are checked on a thread for blocking work.
const CHECK_INLINE_BYTES: usize = 1 << 20;

/// Why the receiving side has ended.
enum End {
    /// The worker or the engine has ended it.
    Closed,
    /// It must end, and the worker is told why.
    Fatal(Fatal),
    /// It must end for now.
    Goodbye(Fatal),
    /// The worker's process is gone.
    Dead,
}

/// Serves a connection to its end.
pub(super) async fn serve<I, O>(handle: Handle, admission: Admission, mut incoming: I, sink: O)
where
    I: Stream<Item = Incoming> + Send + Unpin,
    O: Sink<Outgoing, Error: Send> + Send + Unpin + 'static,
{
    let kill = CancellationToken::new();
    let (outbox, frames) = Outbox::new(kill.clone());
    let (own, own_receiver) = mpsc::channel(OWN_MAX);
    let welcomed = Arc::new(AtomicBool::new(false));
    let hello = first(&mut incoming).await;
    let (id, namespace) = (handle.next_connection(), admission.namespace.clone());
    let pages = hello.as_ref().map_or(1, |hello| hello.pages);
    let writer = Writer {
        sink,
        frames,
        own: own_receiver,
        bulk: Bulk::new(handle.clone(), id, namespace.clone(), pages),
        kill: kill.clone(),
        welcomed: Arc::clone(&welcomed),
    };
    let mut writer = tokio::spawn(writer.run());
    match hello {
        Ok(hello) => {
            let connection = Connection {
                id,
                namespace,
                worker: hello.worker,
                uploads: Uploads::default(),
                own: own.clone(),
                handle,
                welcomed,
            };
            connection.run(hello, outbox, incoming, (&kill, &admission)).await;
        }
        Err(end) => farewell(&end, &own).await,
    }
    drop(own);
    if tokio::time::timeout(FAREWELL_MAX, &mut writer).await.is_err() {
        kill.cancel();
    }
}

/// Tells the worker why its connection ends. It must stand in the writer's channel before the
/// driver lets go of the connection.
async fn farewell(end: &End, own: &mpsc::Sender<Own>) {
    let (fatal, last) = match end {
        End::Fatal(fatal) => (fatal, Own::Fatal(fatal.clone())),
        End::Goodbye(fatal) => (fatal, Own::Goodbye(fatal.clone())),
        End::Closed | End::Dead => return,
    };
    tracing::info!(code = fatal.code, message = fatal.message, "a worker's connection ends");
    let _ = tokio::time::timeout(FAREWELL_MAX, own.send(last)).await;
}

async fn first<I: Stream<Item = Incoming> + Unpin>(incoming: &mut I) -> Result<Box<Hello>, End> {
    let text = match tokio::time::timeout(HELLO_MAX, incoming.next()).await {
        Ok(Some(Incoming::Text(text))) => text,
        Ok(Some(Incoming::Bad(fatal))) => return Err(End::Fatal(fatal)),
        Ok(None) => return Err(End::Closed),
        Err(_) => {
            let message = format!("no `hello` within {} s", HELLO_MAX.as_secs());
            return Err(End::Fatal(fatal("hello_timeout", message, "say `hello` at once")));
        }
    };
    hello::parse(text.as_str()).and_then(hello::admit).map_err(End::Fatal)
}

struct Connection {
    handle: Handle,
    id: ConnectionId,
    namespace: Namespace,
    worker: WorkerId,
    uploads: Uploads,
    own: mpsc::Sender<Own>,
    /// True once the engine has taken the worker.
    welcomed: Arc<AtomicBool>,
}

impl Connection {
    async fn run<I: Stream<Item = Incoming> + Unpin>(
        mut self,
        hello: Box<Hello>,
        outbox: Outbox,
        mut incoming: I,
        (kill, admission): (&CancellationToken, &Admission),
    ) {
        let watch = Watch::of(&hello.host);
        let connection = self.id;
        let namespace = self.namespace.clone();
        let connect = Message::Connect { connection, namespace, hello, outbox };
        if self.handle.send(connect).await.is_err() {
            return farewell(&End::Goodbye(stopping()), &self.own).await;
        }
        let end = tokio::select! {
            () = kill.cancelled() => End::Closed,
            () = admission.stopping.cancelled() => End::Goodbye(stopping()),
            () = admission.revoked.cancelled() => End::Fatal(revoked()),
            () = died(watch.as_ref()) => End::Dead,
            end = self.receive(&mut incoming) => end,
        };
        farewell(&end, &self.own).await;
        let _ = self.handle.send(Message::Disconnect { connection }).await;
        self.report_death(watch, matches!(end, End::Dead)).await;
    }

    async fn receive<I: Stream<Item = Incoming> + Unpin>(&mut self, incoming: &mut I) -> End {
        loop {
            let text = match incoming.next().await {
                Some(Incoming::Text(text)) => text,
                Some(Incoming::Bad(fatal)) => return End::Fatal(fatal),
                None => return End::Closed,
            };
            let done = match hello::parse(text.as_str()) {
                Ok(frame) => self.take(frame).await,
                Err(fatal) => Err(End::Fatal(fatal)),
            };
            if let Err(end) = done {
                return end;
            }
        }
    }

    async fn take(&mut self, frame: FromWorker) -> Result<(), End> {
        match frame {
            FromWorker::Hello(_) => {
                Err(End::Fatal(fatal("unexpected_hello", "a second `hello`", "")))
            }
            FromWorker::Store(piece) => self.store(piece).await,
            FromWorker::Fetch(request) => self.want(Own::Fetch(request)).await,
            FromWorker::More(request) => self.want(Own::More(request)).await,
            frame => {
                let frame = Box::new(frame);
                self.send(Message::Frame { connection: self.id, frame }).await
            }
        }
    }

    async fn send(&self, message: Message) -> Result<(), End> {
        self.handle.send(message).await.map_err(|_| End::Goodbye(stopping()))
    }

    async fn store(&mut self, piece: StoreRequest) -> Result<(), End> {
        let Some(upload) = self.uploads.take(&piece).map_err(End::Fatal)? else {
            return Ok(());
        };
        let uploaded = if upload.size() > CHECK_INLINE_BYTES {
            tokio::task::spawn_blocking(move || upload.check())
                .await
                .unwrap_or_else(|_| Err(fatal("internal", "the check of a value broke off", "")))
        } else {
            upload.check()
        };
        let uploaded = uploaded.map_err(End::Fatal)?;
        let (connection, run) = (self.id, piece.run);
        self.send(Message::Blob { connection, run, hash: uploaded.hash, text: uploaded.text }).await
    }

    async fn want(&self, own: Own) -> Result<(), End> {
        self.own.send(own).await.map_err(|_| End::Closed)
    }

    /// Tells the engine of the process's end, should it come before the grace is over. A worker
    /// that was not taken may have used another's id: its end says nothing.
    async fn report_death(&self, watch: Option<Watch>, dead: bool) {
        if !self.welcomed.load(Ordering::Acquire) {
            return;
        }
        let (handle, worker) = (self.handle.clone(), self.worker);
        if dead {
            let _ = handle.send(Message::WorkerDead { worker }).await;
        } else if let Some(watch) = watch {
            tokio::spawn(async move {
                if tokio::time::timeout(handle.grace(), watch.ended()).await.is_ok() {
                    let _ = handle.send(Message::WorkerDead { worker }).await;
                }
            });
        }
    }
}

async fn died(watch: Option<&Watch>) {
    match watch {
        Some(watch) => watch.ended().await,
        None => std::future::pending().await,
    }
}

fn stopping() -> Fatal {
    fatal("server_stopping", "the server is stopping", "connect again when it is back")
}

fn revoked() -> Fatal {
    fatal("unauthorized", "the worker's key has been revoked", "use another key")
}
