//! The worker: connects to a server, takes runs, runs their code and their steps.

#![expect(clippy::items_after_statements, reason = "it belongs to this function alone")]

mod askers;
mod clock;
mod connection;
mod event;
mod held;
mod host;
mod hot;
mod outbox;
mod rehearse;
mod routes;
mod signal;
mod task;
mod transport;

pub use hot::{HOT_BYTES_MAX, HOT_RUNS_MAX};
pub use signal::shutdown_signal;
pub use transport::{
    FrameSink, FrameStream, InMemory, Link, MEMORY_FRAMES_MAX, Transport, TransportError, WebSocket,
};

use crate::ctx::Ctx;
use crate::json;
use crate::replay::Workflow;
use connection::Connection;
use event::Event;
use futures_util::future::BoxFuture;
use held::Held;
use polos_protocol::frame::{Hello, VERSIONS};
use polos_protocol::{Definition, DefinitionKind, Kind, QueueConfig, Value, WorkerId, limits};
use routes::{Registered, Routes};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::HashMap;
use std::marker::PhantomData;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::{mpsc, watch};

/// How many runs a worker takes at once unless it says otherwise.
pub const SLOTS: u32 = 100;
/// How many pages of journals may be under way to it.
const PAGES: u32 = 4;
/// How long a draining worker waits for its effects.
const DRAIN: Duration = Duration::from_secs(30);

/// Why a worker cannot go on.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The server does not want it.
    #[error(
        "the server refused this worker: {0}\nhint: check the token (POLOS_TOKEN) and that both sides are of compatible versions"
    )]
    Refused(String),
    /// The server's store is an older life of one that this worker knows more of.
    #[error(
        "the server's store is incarnation {found}, but this worker has worked with incarnation {seen}\n\
         hint: a backup was restored; restart the worker to accept it"
    )]
    OlderStore {
        /// The highest one seen.
        seen: u64,
        /// The one found.
        found: u64,
    },
    /// Two definitions have one name.
    #[error("`{0}` is registered twice")]
    Duplicate(String),
    /// Nothing is registered.
    #[error("the worker has nothing to run\nhint: register a workflow with `.workflow(name, …)`")]
    Empty,
    /// There is no server to be found.
    #[error(transparent)]
    Address(#[from] crate::client::AddressError),
    /// The system did not give what the worker needs.
    #[error("the worker cannot run here: {0}")]
    Runtime(String),
}

/// Describes a worker: see [`Worker::builder`].
#[must_use]
pub struct Builder {
    url: Option<String>,
    token: Option<String>,
    transport: Option<Arc<dyn Transport>>,
    name: Option<String>,
    build: Option<String>,
    slots: u32,
    hot: hot::Limits,
    drain: Duration,
    workflows: Vec<Registered>,
    queues: Vec<QueueConfig>,
    placements: Arc<dyn Fn() -> Vec<String> + Send + Sync>,
}

impl std::fmt::Debug for Builder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<_> = self.workflows.iter().map(|w| &w.definition.name).collect();
        f.debug_struct("Builder").field("workflows", &names).finish_non_exhaustive()
    }
}

/// A worker, ready to run.
pub struct Worker {
    connection: Connection,
    routes: Arc<Routes>,
    events: mpsc::UnboundedReceiver<Event>,
    stop: watch::Sender<bool>,
    handle: Handle,
    drain: Duration,
}

impl std::fmt::Debug for Worker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Worker").field(&self.handle.id).finish()
    }
}

/// Talks to a running worker. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Handle {
    id: WorkerId,
    events: mpsc::UnboundedSender<Event>,
    connected: watch::Receiver<bool>,
}

impl Handle {
    /// The worker's id.
    pub fn id(&self) -> WorkerId {
        self.id
    }

    /// Stops the worker in good order: no new runs, waiting ones are parked, running steps end.
    pub fn drain(&self) {
        let _ = self.events.send(Event::Drain);
    }

    /// True while the connection stands.
    pub fn is_connected(&self) -> bool {
        *self.connected.borrow()
    }

    /// Ready once the connection stands.
    pub async fn connected(&self) {
        let _ = self.connected.clone().wait_for(|connected| *connected).await;
    }
}

impl Worker {
    /// Describes a worker.
    ///
    /// ```no_run
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use polos_sdk::{Ctx, Worker, shutdown_signal};
    ///
    /// let worker = Worker::builder()
    ///     .workflow("greet", |ctx: Ctx, name: String| async move {
    ///         let greeting: String =
    ///             ctx.step("greet", move || { let name = name.clone(); async move { Ok(format!("Hello, {name}!")) } }).await?;
    ///         Ok(greeting)
    ///     })
    ///     .build()?;
    /// worker.run_until(shutdown_signal()).await?;
    /// # Ok(()) }
    /// ```
    pub fn builder() -> Builder {
        Builder {
            url: None,
            token: None,
            transport: None,
            name: None,
            build: None,
            slots: SLOTS,
            hot: hot::Limits::default(),
            drain: DRAIN,
            workflows: Vec::new(),
            queues: Vec::new(),
            placements: Arc::new(Vec::new),
        }
    }

    /// Talks to the worker while it runs.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Runs until the worker has drained, or cannot go on.
    pub async fn run(self) -> Result<(), Error> {
        self.run_until(std::future::pending()).await
    }

    /// Runs until `shutdown` is ready, then drains. A process that `polos replay` has started
    /// answers dry replays instead, and connects to no server.
    pub async fn run_until(self, shutdown: impl Future<Output = ()>) -> Result<(), Error> {
        if let Some(socket) = rehearse::socket() {
            return self.rehearse_at(socket).await;
        }
        let Self { connection, routes, mut events, stop, handle, drain } = self;
        routes.live_in(tokio::runtime::Handle::current());
        let (gone, mut has_gone) = watch::channel(false);
        std::thread::Builder::new()
            .name("polos-connection".to_owned())
            .spawn(move || {
                connection.run();
                gone.send_replace(true);
            })
            .map_err(|cause| Error::Runtime(cause.to_string()))?;
        let drained = async {
            shutdown.await;
            handle.drain();
            tokio::time::sleep(drain).await;
        };
        let ended = tokio::select! {
            ended = event::served(&routes, &mut events) => ended,
            () = drained => {
                tracing::warn!("steps were still running when the time to drain was over");
                Ok(())
            }
        };
        stop.send_replace(true);
        let _ = has_gone.wait_for(|gone| *gone).await;
        ended
    }
}

impl Builder {
    /// The server's address. By default `POLOS_URL`, or the data directory's server.
    pub fn server(mut self, url: impl Into<String>) -> Self {
        self.url = Some(url.into());
        self
    }

    /// The API key or the data directory's token. By default `POLOS_TOKEN`, or the directory's.
    pub fn token(mut self, token: impl Into<String>) -> Self {
        self.token = Some(token.into());
        self
    }

    /// Another way to the server than a socket.
    pub fn transport(mut self, transport: impl Transport + 'static) -> Self {
        self.transport = Some(Arc::new(transport));
        self
    }

    /// A name for people; the machine's by default.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// The build of the code: change it whenever the code changes. By default `POLOS_BUILD_ID`, or
    /// a hash of this program's file.
    pub fn build_id(mut self, build: impl Into<String>) -> Self {
        self.build = Some(build.into());
        self
    }

    /// How many runs it takes at once, not counting those that wait; 100 unless said.
    pub fn slots(mut self, slots: u32) -> Self {
        self.slots = slots.max(1);
        self
    }

    /// How many waiting runs it keeps in memory, and how many bytes of them in all, counting the
    /// values that their code was handed; 10,000 and 256 MiB unless said. Beyond either, the run
    /// that has waited longest is parked at once: it is read again when it goes on.
    pub fn hot_limits(mut self, runs: usize, bytes: u64) -> Self {
        self.hot = hot::Limits { runs, bytes };
        self
    }

    /// How long a drain waits for running steps; 30 s unless said.
    pub fn drain_timeout(mut self, limit: Duration) -> Self {
        self.drain = limit;
        self
    }

    /// Declares a queue.
    pub fn queue(mut self, queue: QueueConfig) -> Self {
        self.queues.push(queue);
        self
    }

    /// Placement keys that this worker holds, asked at each connection.
    pub fn placements(
        mut self,
        placements: impl Fn() -> Vec<String> + Send + Sync + 'static,
    ) -> Self {
        self.placements = Arc::new(placements);
        self
    }

    /// Registers a workflow: its name, and its code.
    pub fn workflow<I, O, F, Fut>(self, name: impl Into<String>, code: F) -> Self
    where
        I: DeserializeOwned + Send + 'static,
        O: Serialize + Send + 'static,
        F: Fn(Ctx, I) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = crate::Result<O>> + Send + 'static,
    {
        let definition = Definition { name: name.into(), ..Definition::default() };
        self.define(definition, code)
    }

    /// Registers a workflow, agent or tool with all that can be said of it.
    pub fn define<I, O, F, Fut>(self, definition: Definition, code: F) -> Self
    where
        I: DeserializeOwned + Send + 'static,
        O: Serialize + Send + 'static,
        F: Fn(Ctx, I) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = crate::Result<O>> + Send + 'static,
    {
        self.register(definition, workflow(code))
    }

    /// Registers code that takes and gives plain values.
    pub fn register(mut self, definition: Definition, workflow: Arc<dyn Workflow>) -> Self {
        self.workflows.push(Registered { definition, workflow });
        self
    }

    /// Checks what was said, and finds the server if it was not.
    pub fn build(self) -> Result<Worker, Error> {
        let transport = self.way_to_server()?;
        let mut workflows = HashMap::new();
        let definitions: Vec<Definition> =
            self.workflows.iter().map(|w| w.definition.clone()).collect();
        if definitions.is_empty() {
            return Err(Error::Empty);
        }
        for registered in self.workflows {
            let name = registered.definition.name.clone();
            if workflows.insert(name.clone(), registered).is_some() {
                return Err(Error::Duplicate(name));
            }
        }
        let build: Arc<str> = self.build.unwrap_or_else(default_build).into();
        let hello = hello(&build, self.name, self.slots, definitions, self.queues)?;
        let id = hello.worker;
        let (events, receiver) = mpsc::unbounded_channel();
        let (stop, stopped) = watch::channel(false);
        let (connected, is_connected) = watch::channel(false);
        let clock = Arc::new(clock::Clock::new());
        let outbox = Arc::new(outbox::Outbox::default());
        let routes = Arc::new(Routes {
            outbox: outbox.clone(),
            clock: clock.clone(),
            askers: askers::Askers::default(),
            held: Arc::new(Held::default()),
            hot: hot::Hot::new(self.hot),
            workflows,
            build,
            draining: AtomicBool::new(false),
            connected,
            events: events.clone(),
            state: Mutex::new(routes::State::new(limits::HOT_MS)),
        });
        let connection = Connection {
            transport,
            hello,
            placements: self.placements,
            routes: routes.clone(),
            outbox,
            clock,
            stop: stopped,
            incarnation: 0,
        };
        let handle = Handle { id, events, connected: is_connected };
        Ok(Worker { connection, routes, events: receiver, stop, handle, drain: self.drain })
    }

    /// Connects to no server: the worker is for [`Worker::rehearse`] only.
    pub fn without_server(self) -> Self {
        self.transport(rehearse::Nowhere)
    }

    fn way_to_server(&self) -> Result<Arc<dyn Transport>, Error> {
        if rehearse::socket().is_some() {
            return Ok(Arc::new(rehearse::Nowhere));
        }
        if let Some(transport) = &self.transport {
            return Ok(transport.clone());
        }
        let address = match (&self.url, &self.token) {
            (Some(url), Some(token)) => crate::client::Address::new(url, token),
            (url, token) => {
                let mut found = crate::client::Address::find()?;
                if let Some(url) = url {
                    found.url.clone_from(url);
                }
                if let Some(token) = token {
                    found.token.clone_from(token);
                }
                found
            }
        };
        Ok(Arc::new(WebSocket::new(&address.url, &address.token)))
    }
}

fn hello(
    build: &Arc<str>,
    name: Option<String>,
    slots: u32,
    definitions: Vec<Definition>,
    queues: Vec<QueueConfig>,
) -> Result<Hello, Error> {
    let mut random = [0; 10];
    getrandom::fill(&mut random).map_err(|cause| Error::Runtime(cause.to_string()))?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let host = host::host();
    Ok(Hello {
        protocol: VERSIONS,
        features: Vec::new(),
        kinds: Kind::ALL.to_vec(),
        worker: WorkerId::from_parts(u64::try_from(now.as_millis()).unwrap_or(0), random),
        name: name.unwrap_or_else(|| format!("{}-{}", host.name, host.pid)),
        host,
        sdk: concat!("rust/", env!("CARGO_PKG_VERSION")).to_owned(),
        build: build.clone(),
        connection: 0,
        definitions,
        queues,
        slots,
        placements: Vec::new(),
        held: Vec::new(),
        pages: PAGES,
    })
}

/// A program that has changed is another build.
fn default_build() -> String {
    if let Ok(build) = std::env::var("POLOS_BUILD_ID")
        && !build.is_empty()
    {
        return build;
    }
    static HASH: Mutex<Option<String>> = Mutex::new(None);
    let mut hash = HASH.lock().unwrap_or_else(PoisonError::into_inner);
    hash.get_or_insert_with(|| match std::env::current_exe().and_then(std::fs::read) {
        Ok(program) => {
            use sha2::Digest as _;
            let digest = sha2::Sha256::digest(&program);
            digest[..6].iter().fold(String::from("exe-"), |text, byte| format!("{text}{byte:02x}"))
        }
        Err(_) => "unknown".to_owned(),
    })
    .clone()
}

/// A workflow made of typed code.
pub fn workflow<I, O, F, Fut>(code: F) -> Arc<dyn Workflow>
where
    I: DeserializeOwned + Send + 'static,
    O: Serialize + Send + 'static,
    F: Fn(Ctx, I) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = crate::Result<O>> + Send + 'static,
{
    Arc::new(Typed { code, types: PhantomData::<fn(I) -> O> })
}

struct Typed<F, T> {
    code: F,
    types: PhantomData<T>,
}

impl<I, O, F, Fut> Workflow for Typed<F, fn(I) -> O>
where
    I: DeserializeOwned + Send + 'static,
    O: Serialize + Send + 'static,
    F: Fn(Ctx, I) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = crate::Result<O>> + Send + 'static,
{
    fn call(&self, ctx: Ctx, input: Value) -> BoxFuture<'static, crate::Result<Value>> {
        let input: I = match input.parse() {
            Ok(input) => input,
            Err(cause) => {
                let message = format!("the input does not fit the workflow's type: {cause}");
                let failure = polos_protocol::Failure::new("invalid_input", message).terminal();
                return Box::pin(std::future::ready(Err(failure.into())));
            }
        };
        let running = (self.code)(ctx, input);
        Box::pin(async move { Ok(json::to_value(&running.await?)?) })
    }
}

/// A definition of a workflow by name, to be filled further.
pub fn definition(name: impl Into<String>, kind: DefinitionKind) -> Definition {
    Definition { name: name.into(), kind, ..Definition::default() }
}
