//! The native worker of this process: the agents of a folder, or of one file besides, with boxes
//! under the data directory.

use crate::exit::Problem;
use crate::talk;
use anyhow::Result;
use polos_agent::guest::Trust;
use polos_agent::{Agent, Boxes, BoxesConfig, NativeConfig, native_worker, tend};
use polos_protocol::Namespace;
use polos_sdk::client::Client;
use polos_sdk::worker::{self, Builder, Error, InMemory, Link, TransportError};
use polos_server::Handle;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::task::JoinHandle;

/// Where the worker keeps what is its own, within the data directory.
const WORKER_DIR: &str = "worker";
/// How long a worker that is to end may take for the steps that run.
const DRAIN_MAX: Duration = Duration::from_secs(5);

/// What a native worker is made of.
#[derive(Debug, Clone)]
pub(crate) struct Native {
    /// The folder of agent files.
    pub(crate) agents: PathBuf,
    /// The data directory: no box may see it.
    pub(crate) data: PathBuf,
    boxes: Boxes,
    /// An agent from a file that lies elsewhere.
    besides: Option<Agent>,
    /// Agents read by it what was said before in a session.
    client: Client,
    trust: Trust,
}

impl Native {
    /// A native worker for the agents of a folder, on a server of this process: who may start runs
    /// there is its owner.
    pub(crate) fn new(agents: PathBuf, data: PathBuf, client: Client) -> Self {
        let root = data.join(WORKER_DIR).join("boxes");
        let masked = vec![data.clone()];
        let boxes = Boxes::new(BoxesConfig { root, masked, ..BoxesConfig::default() });
        Self { agents, data, boxes, besides: None, client, trust: Trust::Owner }
    }

    /// Takes agents that come with the input of their run this far.
    pub(crate) fn trusts(self, trust: Trust) -> Self {
        Self { trust, ..self }
    }

    /// Takes the agent of a file besides; gives its name.
    pub(crate) fn add(&mut self, file: &Path) -> Result<String> {
        let agent = polos_agent::load_file(file).map_err(|error| problem("agent_file", &error))?;
        let name = agent.id.clone();
        // A file of the folder is read with the folder.
        let is_listed = std::fs::canonicalize(file)
            .is_ok_and(|file| file.parent() == self.agents.canonicalize().ok().as_deref());
        self.besides = (!is_listed).then_some(agent);
        Ok(name)
    }

    /// The worker with the agents as their files stand now; it still needs a server.
    pub(crate) fn builder(&self) -> Result<Builder> {
        let config = NativeConfig {
            client: Some(self.client.clone()),
            agents_dir: Some(self.agents.clone()),
            agents: self.besides.clone().into_iter().collect(),
            boxes: self.boxes.clone(),
            grants: self.data.join(WORKER_DIR).join("grants.json"),
            trust: self.trust,
            ..NativeConfig::default()
        };
        native_worker(config).map_err(|error| problem("agent_file", &error))
    }

    /// How many agent files there are.
    pub(crate) fn count(&self) -> Result<usize> {
        polos_agent::load_dir(&self.agents)
            .map(|agents| agents.len() + usize::from(self.besides.is_some()))
            .map_err(|error| problem("agent_file", &error))
    }

    /// Starts the worker, on a server of this process. Without agents of its own it still runs
    /// those that other workers declare.
    pub(crate) fn start(&self, server: &Handle) -> Result<Running> {
        let builder = self.builder()?.transport(in_memory(server.clone())).name("native");
        let worker = builder.build().map_err(|error| worker_problem(&error))?;
        let handle = worker.handle();
        let task = tokio::spawn(async move {
            if let Err(error) = worker.run().await {
                talk::say(&format!("the native worker has ended: {error}"));
            }
        });
        Ok(Running { handle, task })
    }

    /// Looks after the boxes for as long as it is polled.
    pub(crate) async fn tend(&self) {
        tend(self.boxes.clone()).await;
    }

    /// Stops the boxes that nobody uses at this moment; their workspaces stay.
    pub(crate) async fn end(&self) {
        self.boxes.stop_all().await;
    }
}

/// A native worker that runs in this process.
#[derive(Debug)]
pub(crate) struct Running {
    handle: worker::Handle,
    task: JoinHandle<()>,
}

impl Running {
    /// Ready once the server knows it.
    pub(crate) async fn connected(&self) {
        self.handle.connected().await;
    }

    /// Lets it end in good order: it takes no runs, and gives back those that it has.
    pub(crate) fn drain(&self) {
        self.handle.drain();
    }

    /// Drains it, and waits for the end.
    pub(crate) async fn end(self) {
        self.drain();
        tokio::time::timeout(DRAIN_MAX, self.task).await.ok();
    }
}

/// The way to a server of this process: frames as text, as on the socket.
pub(crate) fn in_memory(
    handle: Handle,
) -> InMemory<impl Fn(Link) -> Result<(), TransportError> + Send + Sync + 'static> {
    let runtime = tokio::runtime::Handle::current();
    InMemory::new(move |theirs: Link| {
        // Called on the worker's own connection thread; the server's side lives on this runtime.
        let _on_runtime = runtime.enter();
        let (to_server, from_server) = handle.attach_worker(Namespace::default());
        runtime.spawn(carry(theirs, to_server, from_server));
        Ok(())
    })
}

/// Carries frames both ways until either end is gone.
async fn carry(
    mut worker: Link,
    to_server: tokio::sync::mpsc::Sender<String>,
    mut from_server: tokio::sync::mpsc::Receiver<String>,
) {
    use futures_util::{SinkExt as _, StreamExt as _};
    let up = async {
        while let Some(Ok(frame)) = worker.stream.next().await {
            if to_server.send(frame).await.is_err() {
                break;
            }
        }
    };
    let down = async {
        while let Some(frame) = from_server.recv().await {
            if worker.sink.send(frame).await.is_err() {
                break;
            }
        }
    };
    tokio::select! {
        () = up => {}
        () = down => {}
    }
}

/// Why a worker cannot go on, with the way out.
pub(crate) fn worker_problem(error: &Error) -> anyhow::Error {
    problem("worker", error)
}

/// Errors below carry their hint on a line of its own.
fn problem(code: &str, error: &dyn std::fmt::Display) -> anyhow::Error {
    let text = error.to_string();
    let (message, hint) = text.split_once("\nhint: ").unwrap_or((&text, ""));
    Problem::new(code, message, hint)
}
