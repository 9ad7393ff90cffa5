//! `polos backup`: a copy of the database, whole at one moment.

use crate::context::Context;
use crate::exit::Exit;
use crate::show::{amount, moment};
use crate::{host, talk};
use anyhow::{Context as _, Result};
use polos_store::sqlite::Progress;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// What takes longer than this shows its progress, and so often.
const SILENT: Duration = Duration::from_secs(1);

/// Copy the database of the data directory, while a server runs or not
///
/// The copy is whole as of one moment. To restore it, stop the server and put it in the place of
/// `polos.db` in the data directory, without the `-wal` and `-shm` files beside it. A restored
/// backup is a new life of the store: what happened after it was taken is unknown to it, so `once`
/// steps begun since then may have acted without a trace.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The file to write; it must not be there yet
    file: PathBuf,
}

/// Tells how far it is, once it takes longer than a second.
fn tell(began: Instant) -> impl FnMut(Progress) {
    let mut told = Instant::now();
    move |progress| {
        if began.elapsed() > SILENT && told.elapsed() > SILENT {
            told = Instant::now();
            talk::say(&format!("{} of {} pages", progress.done, progress.total));
        }
    }
}

pub(crate) async fn run(args: Args, context: &Context) -> Result<Exit> {
    let directory = context.data_dir()?;
    let file = args.file.clone();
    let began = Instant::now();
    tokio::task::spawn_blocking(move || host::backup(&directory, &file, tell(began))).await??;
    let bytes = std::fs::metadata(&args.file).context("the copy cannot be read")?.len();
    let took = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    if context.is_json() {
        talk::json(&serde_json::json!({ "file": args.file, "bytes": bytes, "took_ms": took }))?;
    } else {
        let (size, took) = (amount::bytes(bytes), moment::duration(took));
        talk::line(&format!("{} ({size}, {took})", args.file.display()))?;
    }
    Ok(Exit::Done)
}
