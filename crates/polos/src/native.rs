//! The native worker of this process: the agents of a folder, with boxes under the data directory.

use crate::exit::Problem;
use anyhow::Result;
use polos_agent::{Boxes, BoxesConfig, NativeConfig, native_worker, tend};
use polos_protocol::Namespace;
use polos_sdk::client::Client;
use polos_sdk::worker::{Builder, Error, InMemory, Link, TransportError};
use polos_server::Handle;
use std::path::PathBuf;

/// Where the worker keeps what is its own, within the data directory.
const WORKER_DIR: &str = "worker";

/// What a native worker is made of.
#[derive(Debug, Clone)]
pub(crate) struct Native {
    /// The folder of agent files.
    pub(crate) agents: PathBuf,
    /// The data directory: no box may see it.
    pub(crate) data: PathBuf,
    boxes: Boxes,
    /// Agents read by it what was said before in a session.
    client: Client,
}

impl Native {
    /// A native worker for the agents of a folder.
    pub(crate) fn new(agents: PathBuf, data: PathBuf, client: Client) -> Self {
        let root = data.join(WORKER_DIR).join("boxes");
        let masked = vec![data.clone()];
        let boxes = Boxes::new(BoxesConfig { root, masked, ..BoxesConfig::default() });
        Self { agents, data, boxes, client }
    }

    /// The worker with the agents as their files stand now; it still needs a server.
    pub(crate) fn builder(&self) -> Result<Builder> {
        let config = NativeConfig {
            client: Some(self.client.clone()),
            agents_dir: Some(self.agents.clone()),
            boxes: self.boxes.clone(),
            grants: self.data.join(WORKER_DIR).join("grants.json"),
            ..NativeConfig::default()
        };
        native_worker(config).map_err(|error| problem("agent_file", &error))
    }

    /// How many agent files there are.
    pub(crate) fn count(&self) -> Result<usize> {
        polos_agent::load_dir(&self.agents)
            .map(|agents| agents.len())
            .map_err(|error| problem("agent_file", &error))
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
