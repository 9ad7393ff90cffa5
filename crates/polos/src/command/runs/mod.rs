//! `polos runs`: look at runs, and give them orders.

mod cancel;
mod fork;
mod journal;
mod kill;
mod list;
mod resume;
mod retry;
mod settle;
pub(crate) mod show;
mod tail;
pub(crate) mod target;

use crate::context::Context;
use crate::exit::Exit;
use anyhow::Result;
use clap::Subcommand;

/// Look at runs, and give them orders
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    List(list::Args),
    Show(show::Args),
    Journal(journal::Args),
    Tail(tail::Args),
    Cancel(cancel::Args),
    Kill(kill::Args),
    Resume(resume::Args),
    Retry(retry::Args),
    Fork(fork::Args),
    Settle(settle::Args),
}

impl Command {
    pub(crate) async fn run(self, context: &Context) -> Result<Exit> {
        match self {
            Self::List(args) => list::run(args, context).await,
            Self::Show(args) => show::run(args, context).await,
            Self::Journal(args) => journal::run(args, context).await,
            Self::Tail(args) => tail::run(args, context).await,
            Self::Cancel(args) => cancel::run(args, context).await,
            Self::Kill(args) => kill::run(args, context).await,
            Self::Resume(args) => resume::run(args, context).await,
            Self::Retry(args) => retry::run(args, context).await,
            Self::Fork(args) => fork::run(args, context).await,
            Self::Settle(args) => settle::run(args, context).await,
        }
    }
}
