//! The connection to the server, on a thread of its own: a busy user program must not look dead.
//! It says hello, answers pings, reconnects, and watches the lease.

use crate::worker::Error;
use crate::worker::clock::Clock;
use crate::worker::outbox::Outbox;
use crate::worker::routes::Routes;
use crate::worker::transport::{FrameSink, FrameStream, Link, Transport, TransportError};
use futures_util::{SinkExt as _, StreamExt as _};
use polos_protocol::frame::{Empty, FromServer, FromWorker, Hello, RunRef, Welcome};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// How long a connection and its welcome may take.
const WELCOME: Duration = Duration::from_secs(10);
/// The wait before the first attempt to connect again, and the longest one.
const BACKOFF: [Duration; 2] = [Duration::from_millis(50), Duration::from_secs(5)];
/// How long the last frames may take to leave when the worker stops.
const FAREWELL: Duration = Duration::from_secs(2);

/// What the connection's thread works with.
pub(crate) struct Connection {
    pub(crate) transport: Arc<dyn Transport>,
    /// All that hello says but what changes from connection to connection.
    pub(crate) hello: Hello,
    pub(crate) placements: Arc<dyn Fn() -> Vec<String> + Send + Sync>,
    pub(crate) routes: Arc<Routes>,
    pub(crate) outbox: Arc<Outbox>,
    pub(crate) clock: Arc<Clock>,
    pub(crate) stop: watch::Receiver<bool>,
    pub(crate) incarnation: u64,
}

/// How a connection ended.
enum Ended {
    /// The worker wants to stop.
    Stopped,
    /// It broke; `true` if it had been welcomed.
    Broken(bool, String),
    /// Trying again cannot help.
    Fatal(Error),
}

impl Connection {
    /// Runs on the calling thread until the worker stops.
    pub(crate) fn run(mut self) {
        let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime,
            Err(cause) => {
                self.routes.end(Error::Runtime(cause.to_string()));
                return;
            }
        };
        let clock = self.clock.clone();
        let routes = self.routes.clone();
        let mut stop = self.stop.clone();
        // As a task: each waking of a thread's root future costs a system call.
        let serving = runtime.spawn(async move {
            tokio::select! {
                () = self.keep_connected() => {}
                () = watch_lease(&clock, &routes) => {}
            }
            let _ = stop.wait_for(|stopped| *stopped).await;
        });
        let _ = runtime.block_on(serving);
    }

    async fn keep_connected(&mut self) {
        let mut wait = BACKOFF[0];
        loop {
            self.hello.connection += 1;
            let ended = self.connect_once().await;
            self.outbox.open(0);
            self.routes.detached();
            match ended {
                Ended::Stopped => return,
                Ended::Fatal(error) => {
                    self.routes.end(error);
                    return;
                }
                Ended::Broken(welcomed, why) => {
                    if welcomed {
                        wait = BACKOFF[0];
                    }
                    tracing::warn!(%why, "connection to the server lost, trying again");
                }
            }
            let mut stop = self.stop.clone();
            tokio::select! {
                () = tokio::time::sleep(jittered(wait)) => {}
                _ = stop.wait_for(|stopped| *stopped) => return,
            }
            wait = (wait * 2).min(BACKOFF[1]);
        }
    }

    async fn connect_once(&mut self) -> Ended {
        let mut stop = self.stop.clone();
        let connecting = tokio::time::timeout(WELCOME, self.transport.connect());
        let connected = tokio::select! {
            connected = connecting => connected,
            _ = stop.wait_for(|stopped| *stopped) => return Ended::Stopped,
        };
        match connected {
            Ok(Ok(link)) => self.serve(link).await,
            Ok(Err(TransportError::Refused(why))) => Ended::Fatal(Error::Refused(why)),
            Ok(Err(TransportError::Broken(why))) => Ended::Broken(false, why),
            Err(_) => Ended::Broken(false, "it took too long".to_owned()),
        }
    }

    async fn serve(&mut self, mut link: Link) -> Ended {
        let mut hello = self.hello.clone();
        hello.held = self.routes.held.list();
        hello.placements = (self.placements)();
        if let Err(cause) = link.sink.send(FromWorker::Hello(hello).to_text()).await {
            return Ended::Broken(false, cause.to_string());
        }
        let welcome = match tokio::time::timeout(WELCOME, first_frame(&mut link.stream)).await {
            Ok(Ok(welcome)) => welcome,
            Ok(Err(ended)) => return ended,
            Err(_) => return Ended::Broken(false, "no welcome came".to_owned()),
        };
        if welcome.incarnation < self.incarnation {
            return Ended::Fatal(Error::OlderStore {
                seen: self.incarnation,
                found: welcome.incarnation,
            });
        }
        self.incarnation = welcome.incarnation;
        self.clock.set(welcome.now);
        self.clock.welcomed(welcome.lease_ms);
        self.routes.held.kept(&welcome.kept);
        self.outbox.open(self.hello.connection);
        let lease_ms = welcome.lease_ms;
        let connection = self.hello.connection;
        self.routes.welcomed(&welcome, connection);
        if self.routes.is_draining() {
            self.outbox.now(FromWorker::Drain(Empty {}));
        }
        let Link { sink, stream } = link;
        tokio::select! {
            why = self.read(stream, lease_ms) => Ended::Broken(true, why),
            ended = self.write(sink) => ended,
        }
    }

    async fn read(&self, mut stream: FrameStream, lease_ms: u64) -> String {
        loop {
            let next = tokio::time::timeout(self.clock.lease_left(), stream.next()).await;
            let text = match next {
                Err(_) => return "the server has been silent for its lease".to_owned(),
                Ok(None) => return "the connection was closed".to_owned(),
                Ok(Some(Err(cause))) => return cause.to_string(),
                Ok(Some(Ok(text))) => text,
            };
            if !self.clock.is_leased() {
                return "this process was paused for longer than its lease".to_owned();
            }
            self.clock.heard(lease_ms);
            match FromServer::from_text(&text) {
                Ok(FromServer::Ping(_)) => self.outbox.now(FromWorker::Pong(Empty {})),
                Ok(FromServer::Error(fatal)) => {
                    return format!("{}: {}", fatal.code, fatal.message);
                }
                Ok(frame) => {
                    self.read_ahead(&frame);
                    self.routes.frame(frame);
                }
                Err(cause) => return cause.to_string(),
            }
        }
    }

    /// What must be known before the runs' tasks get to a frame.
    fn read_ahead(&self, frame: &FromServer) {
        match frame {
            FromServer::Append(append) => self.routes.held.appended(append.run, append.assignment),
            FromServer::Done(of) => self.routes.held.gone(*of),
            FromServer::Revoked(of) => {
                self.routes.held.gone(RunRef { run: of.run, assignment: of.assignment });
            }
            _ => {}
        }
    }

    async fn write(&self, mut sink: FrameSink) -> Ended {
        let mut stop = self.stop.clone();
        loop {
            let stopping = tokio::select! {
                () = self.outbox.filled() => false,
                _ = stop.wait_for(|stopped| *stopped) => true,
            };
            let sending = async {
                for frame in self.outbox.take() {
                    sink.feed(frame.to_text()).await?;
                }
                sink.flush().await
            };
            if stopping {
                let _ = tokio::time::timeout(FAREWELL, sending).await;
                let _ = tokio::time::timeout(FAREWELL, sink.close()).await;
                return Ended::Stopped;
            }
            if let Err(cause) = sending.await {
                return Ended::Broken(true, cause.to_string());
            }
        }
    }
}

async fn first_frame(stream: &mut FrameStream) -> Result<Welcome, Ended> {
    let text = match stream.next().await {
        Some(Ok(text)) => text,
        Some(Err(cause)) => return Err(Ended::Broken(false, cause.to_string())),
        None => return Err(Ended::Broken(false, "the connection was closed".to_owned())),
    };
    match FromServer::from_text(&text) {
        Ok(FromServer::Welcome(welcome)) => Ok(welcome),
        Ok(FromServer::Error(fatal)) => {
            let hint = if fatal.hint.is_empty() {
                String::new()
            } else {
                format!("\nhint: {}", fatal.hint)
            };
            Err(Ended::Fatal(Error::Refused(format!("{}: {}{hint}", fatal.code, fatal.message))))
        }
        Ok(other) => {
            Err(Ended::Broken(false, format!("`{}` came instead of a welcome", other.kind())))
        }
        Err(cause) => Err(Ended::Fatal(Error::Refused(cause.to_string()))),
    }
}

/// Says once when the lease ends unheard.
async fn watch_lease(clock: &Clock, routes: &Routes) {
    let mut said = true;
    loop {
        if clock.is_leased() {
            said = false;
            tokio::time::sleep(clock.lease_left().max(Duration::from_millis(1))).await;
        } else {
            if !said {
                said = true;
                tracing::warn!("the server was not heard for the lease: steps are stopped");
                routes.lease_lost();
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

fn jittered(wait: Duration) -> Duration {
    let mut byte = [0_u8; 1];
    let drawn = getrandom::fill(&mut byte).map_or(128, |()| u32::from(byte[0]));
    wait / 2 + wait / 2 * drawn / 255
}
