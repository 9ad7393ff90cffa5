//! A folder with a data directory, and the processes that work on it; all end with the test.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use polos_sdk::Client;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long anything may take on a busy machine before it counts as stuck.
pub(crate) const PATIENCE: Duration = Duration::from_mins(2);
/// A pause between two looks.
const LOOK: Duration = Duration::from_millis(5);
/// Tells this program, started again, to be a worker over this folder.
pub(crate) const WORKER_OF: &str = "POLOS_KILLS_WORKER_OF";

pub(crate) struct Place {
    folder: tempfile::TempDir,
    address: SocketAddr,
}

/// A process that is killed with the test.
pub(crate) struct Process(Child);

impl Process {
    /// SIGKILL, and the end of it.
    pub(crate) fn kill(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }

    pub(crate) fn id(&self) -> u32 {
        self.0.id()
    }

    /// True once it has ended by itself.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.0.try_wait().unwrap().is_some()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

impl Place {
    /// A fresh folder, and a port that was free.
    pub(crate) fn new() -> Self {
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        Self { folder: tempfile::tempdir().unwrap(), address }
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.folder().join("data")
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The arguments of `polos` for this place's server.
    pub(crate) fn serve(&self, command: &mut Command) {
        command.args(["serve", "--listen", &self.address.to_string(), "--data-dir"]);
        command.arg(self.data()).env("POLOS_LOG", "error").env_remove("POLOS_URL");
        command.stdin(Stdio::null()).stdout(Stdio::null());
    }

    /// Starts the server; it may not answer yet.
    pub(crate) fn server(&self) -> Process {
        let mut command = Command::new(env!("CARGO_BIN_EXE_polos"));
        self.serve(&mut command);
        Process(command.spawn().unwrap())
    }

    /// Starts any command as a process of this place.
    pub(crate) fn spawn(command: &mut Command) -> Process {
        Process(command.spawn().unwrap())
    }

    /// A client, as soon as there is a server to ask.
    pub(crate) async fn client(&self, server: &mut Process) -> Client {
        let end = Instant::now() + PATIENCE;
        let file = self.data().join("token");
        loop {
            if let Ok(token) = std::fs::read_to_string(&file)
                && let Ok(client) = Client::new(&self.url(), token.trim())
                && client.health().await.is_ok()
            {
                return client;
            }
            assert!(!server.has_ended(), "the server has ended");
            assert!(Instant::now() < end, "the server does not answer");
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Starts a worker: this program again.
    pub(crate) fn worker(&self) -> Process {
        let token = std::fs::read_to_string(self.data().join("token")).unwrap();
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["ledger::is_the_worker_process", "--exact", "--ignored", "--nocapture"]);
        command.env(WORKER_OF, self.folder()).env("POLOS_URL", self.url());
        command.env("POLOS_TOKEN", token.trim());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Process(command.spawn().unwrap())
    }
}
