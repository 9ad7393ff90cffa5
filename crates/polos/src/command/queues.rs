//! `polos queues`: how many runs go at once.

use crate::context::Context;
use crate::exit::Exit;
use crate::show::table::Table;
use crate::talk;
use anyhow::Result;
use clap::Subcommand;
use polos_protocol::rest::{QueueRequest, QueueStatus};

/// Look at queues, and set what they allow
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List queues and how they stand
    List,
    Set(Set),
    /// Start nothing new from a queue; what runs goes on
    Pause {
        /// The queue
        queue: String,
    },
    /// Let a paused queue go on
    Resume {
        /// The queue
        queue: String,
    },
}

/// Set what a queue allows, and make it if it is not there
#[derive(Debug, clap::Args)]
pub(crate) struct Set {
    /// The queue
    queue: String,
    /// Let so many runs go at once; no limit without it
    #[arg(long, value_name = "N")]
    concurrency: Option<u32>,
    /// Let so many runs of one concurrency key go at once; no limit without it
    #[arg(long, value_name = "N")]
    concurrency_per_key: Option<u32>,
    /// Let runs keep their slot while they wait
    #[arg(long)]
    hold: bool,
}

impl Command {
    pub(crate) async fn run(self, context: &Context) -> Result<Exit> {
        let client = context.client_of_any_store().await?;
        let statuses = match self {
            Self::List => client.queues().await?.items,
            Self::Set(set) => {
                let request = QueueRequest {
                    concurrency: set.concurrency,
                    concurrency_per_key: set.concurrency_per_key,
                    hold: set.hold,
                };
                vec![client.set_queue(&set.queue, &request).await?]
            }
            Self::Pause { queue } => vec![client.pause_queue(&queue).await?],
            Self::Resume { queue } => vec![client.resume_queue(&queue).await?],
        };
        if context.is_json() {
            talk::json(&statuses)?;
        } else if statuses.is_empty() {
            talk::say(
                "no queue has a run or a limit; set one with `polos queues set NAME --concurrency N`",
            );
        } else {
            talk::data(&context.table(&table(&statuses)))?;
        }
        Ok(Exit::Done)
    }
}

fn table(queues: &[QueueStatus]) -> Table {
    let limit = |limit: Option<u32>| limit.map_or_else(|| "none".to_owned(), |n| n.to_string());
    let mut table =
        Table::new(&["QUEUE", "RUNNING", "QUEUED", "LIMIT", "PER KEY", "WHILE WAITING", "STATE"]);
    for queue in queues {
        let state = if queue.config.paused { "paused" } else { "open" };
        let hold = if queue.config.hold { "keeps its slot" } else { "gives it back" };
        table.push(vec![
            queue.config.name.as_str().into(),
            queue.running.to_string().into(),
            queue.queued.to_string().into(),
            limit(queue.config.concurrency).into(),
            limit(queue.config.concurrency_per_key).into(),
            hold.into(),
            state.into(),
        ]);
    }
    table
}
