//! Server, worker and the client that asks them: started, killed, started again.

use std::time::{Duration, Instant};

use anyhow::Result;
use polos_sdk::client::Client;

use super::place::{Job, Place};
use super::process::{Process, Role};
use crate::exit::Problem;

/// How long the server may take to answer for the first time.
const START_MAX: Duration = Duration::from_secs(20);
/// Between two questions whether it answers.
const PAUSE: Duration = Duration::from_millis(10);

/// The processes of a demo.
#[derive(Debug)]
pub(crate) struct Stage {
    place: Place,
    port: u16,
    // The worker is dropped first, while there is a server to take leave of.
    worker: Option<Process>,
    server: Process,
    client: Option<Client>,
}

impl Stage {
    /// Starts the server, and the worker once the server answers.
    pub(crate) async fn set(place: &Place, job: &Job) -> Result<Self> {
        let server = Process::start(Role::Server, place)?;
        let mut stage =
            Self { place: place.clone(), port: job.port, worker: None, server, client: None };
        stage.wait_for_server().await?;
        stage.worker = Some(Process::start(Role::Worker, place)?);
        Ok(stage)
    }

    /// The client, once the server has answered.
    pub(crate) fn client(&self) -> Result<&Client> {
        self.client.as_ref().ok_or_else(|| Problem::new("demo", "the server is not up yet", ""))
    }

    /// The process ids of server and worker.
    pub(crate) fn ids(&self) -> (u32, u32) {
        (self.server.id(), self.worker.as_ref().map_or(0, Process::id))
    }

    /// An error if one of the two has ended by itself.
    pub(crate) fn check(&mut self) -> Result<()> {
        self.server.check()?;
        self.worker.as_mut().map_or(Ok(()), Process::check)
    }

    /// Kills the worker with SIGKILL and starts another; gives both process ids.
    pub(crate) fn strike_worker(&mut self) -> Result<(u32, u32)> {
        let before = self.ids().1;
        if let Some(worker) = &mut self.worker {
            worker.kill()?;
        }
        self.worker = Some(Process::start(Role::Worker, &self.place)?);
        Ok((before, self.ids().1))
    }

    /// Kills the server with SIGKILL, starts another and waits until it answers; gives both process
    /// ids, and how long nobody answered.
    pub(crate) async fn strike_server(&mut self) -> Result<(u32, u32, Duration)> {
        let before = self.server.id();
        let struck = Instant::now();
        self.server.kill()?;
        self.server = Process::start(Role::Server, &self.place)?;
        self.wait_for_server().await?;
        Ok((before, self.server.id(), struck.elapsed()))
    }

    async fn wait_for_server(&mut self) -> Result<()> {
        let began = Instant::now();
        loop {
            self.server.check()?;
            if let Some(client) = self.find_client()
                && client.version().await.is_ok()
            {
                self.client = Some(client);
                return Ok(());
            }
            if began.elapsed() > START_MAX {
                let log = self.place.log(Role::Server.name());
                let hint = format!("what it said is in `{}`", log.display());
                return Err(Problem::new("demo", "the demo's server does not answer", hint));
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// The token is there once the server has made its data directory.
    fn find_client(&self) -> Option<Client> {
        let token = std::fs::read_to_string(self.place.data().join("token")).ok()?;
        Client::new(&format!("http://127.0.0.1:{}", self.port), token.trim()).ok()
    }
}
