//! The events of several runs as one sequence. A connection that breaks is taken up again where it
//! ended.

use anyhow::{Result, anyhow};
use polos_protocol::RunId;
use polos_protocol::rest::RunEvent;
use polos_sdk::client::Client;
use std::collections::HashSet;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// How many events may wait to be told.
const EVENTS_MAX: usize = 1_024;
/// How many runs are followed at once.
const RUNS_MAX: usize = 256;

/// An event of a run.
#[derive(Debug)]
pub(super) struct Heard {
    pub(super) run: RunId,
    pub(super) event: RunEvent,
}

/// Follows runs. Dropped, it follows nothing any more.
pub(super) struct Feed {
    client: Client,
    sender: mpsc::Sender<Result<Heard>>,
    receiver: mpsc::Receiver<Result<Heard>>,
    followed: HashSet<RunId>,
    tasks: JoinSet<()>,
}

impl Feed {
    pub(super) fn new(client: Client) -> Self {
        let (sender, receiver) = mpsc::channel(EVENTS_MAX);
        Self { client, sender, receiver, followed: HashSet::new(), tasks: JoinSet::new() }
    }

    /// Follows a run besides; once is enough.
    pub(super) fn follow(&mut self, run: RunId) {
        if self.followed.len() >= RUNS_MAX || !self.followed.insert(run) {
            return;
        }
        let (client, sender) = (self.client.clone(), self.sender.clone());
        self.tasks.spawn(async move {
            if let Err(error) = pump(&client, run, &sender).await {
                sender.send(Err(error)).await.ok();
            }
        });
    }

    /// The next event of any of them.
    pub(super) async fn next(&mut self) -> Result<Heard> {
        self.receiver.recv().await.ok_or_else(|| anyhow!("the events have ended"))?
    }
}

async fn pump(client: &Client, run: RunId, sender: &mpsc::Sender<Result<Heard>>) -> Result<()> {
    let mut events = client.events(run, None);
    while let Some(update) = events.next().await {
        let event = update?.event;
        if sender.send(Ok(Heard { run, event })).await.is_err() {
            return Ok(());
        }
    }
    Ok(())
}
