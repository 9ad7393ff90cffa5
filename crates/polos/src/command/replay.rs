//! `polos replay`: server and workers in one process.
use crate::context::Context;
use crate::exit::Exit;
use anyhow::Result;
/// Run server and worker
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}
pub(crate) async fn run(_args: Args, _context: &Context) -> Result<Exit> {
    anyhow::bail!("x")
}
