//! `polos approvals`: questions that wait for a person.

mod approve;
mod list;
mod reject;
pub(crate) mod show;

use crate::context::Context;
use crate::exit::Exit;
use anyhow::Result;
use clap::Subcommand;

/// Look at questions that wait for a person, and answer them
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    List(list::Args),
    Show(show::Args),
    Approve(approve::Args),
    Reject(reject::Args),
}

impl Command {
    pub(crate) async fn run(self, context: &Context) -> Result<Exit> {
        match self {
            Self::List(args) => list::run(args, context).await,
            Self::Show(args) => show::run(args, context).await,
            Self::Approve(args) => approve::run(args, context).await,
            Self::Reject(args) => reject::run(args, context).await,
        }
    }
}
