//! `polos workers`: who does the work.

use crate::context::Context;
use crate::exit::Exit;
use crate::show::moment;
use crate::show::table::Table;
use crate::talk;
use anyhow::Result;
use clap::Subcommand;
use polos_protocol::WorkerId;
use polos_protocol::rest::WorkerStatus;

/// Look at workers, and empty them
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List workers that are, or were lately, connected
    List,
    /// Give a worker no new runs, and have it give back the ones it has
    Drain {
        /// The worker
        worker: WorkerId,
    },
}

impl Command {
    pub(crate) async fn run(self, context: &Context) -> Result<Exit> {
        match self {
            Self::List => list(context).await,
            Self::Drain { worker } => {
                context.client().await?.drain_worker(worker).await?;
                if context.is_json() {
                    talk::json(&serde_json::json!({ "id": worker, "state": "draining" }))?;
                } else {
                    talk::line(&format!("{worker} drains: it gets no new runs"))?;
                }
                Ok(Exit::Done)
            }
        }
    }
}

async fn list(context: &Context) -> Result<Exit> {
    let workers = context.client().await?.workers().await?.items;
    if context.is_json() {
        talk::json(&workers)?;
    } else if workers.is_empty() {
        talk::say("no worker is connected; start one with `polos dev` or `polos worker`");
    } else {
        talk::data(&context.table(&table(&workers)))?;
    }
    Ok(Exit::Done)
}

fn table(workers: &[WorkerStatus]) -> Table {
    let now = moment::now();
    let mut table =
        Table::new(&["WORKER", "NAME", "STATE", "RUNS", "BUILD", "SINCE", "WHERE", "CAN RUN"]);
    for worker in workers {
        table.push(vec![
            worker.id.to_string().into(),
            worker.name.as_str().into(),
            worker.state.as_str().into(),
            format!("{}/{}", worker.runs.len(), worker.slots).into(),
            worker.build.as_str().into(),
            moment::relative(worker.connected_ms, now).into(),
            format!("{}:{}", worker.host, worker.pid).into(),
            worker.definitions.join(" ").into(),
        ]);
    }
    table
}
