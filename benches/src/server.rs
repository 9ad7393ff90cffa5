//! A bare server process, for where the `polos` program is not built.

use anyhow::{Context as _, Result};
use polos_server::{Options, serve};
use polos_store::sqlite;
use std::path::PathBuf;
use std::sync::Arc;

/// Serve a data directory
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[arg(long)]
    listen: String,
    #[arg(long)]
    data_dir: PathBuf,
}

pub(crate) fn run(args: Args) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let store = sqlite::Store::open(&args.data_dir, sqlite::Options::default())?;
        let mut options = Options::new(args.data_dir);
        options.listen = args.listen;
        let server = serve(options, Arc::new(store)).await.context("the server did not start")?;
        server.run(polos_sdk::shutdown_signal()).await?;
        Ok(())
    })
}
