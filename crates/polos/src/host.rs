//! A server in this process: opens the store of a data directory and serves it.

use crate::exit::Problem;
use anyhow::Result;
use polos_server::serve::Options;
use polos_server::{Server, serve};
use polos_store::OpenError;
use polos_store::sqlite::{self, BackupError, Progress};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long a command that has the directory for a moment is waited for.
const PASSING_MAX: Duration = Duration::from_secs(10);
/// Between two attempts.
const AGAIN_AFTER: Duration = Duration::from_millis(20);

/// Opens the store and starts the server; it answers when this returns.
pub(crate) async fn start(options: Options) -> Result<Server> {
    let announces = options.announces;
    let store = open(&options.data_directory).await?;
    let server = serve(options, Arc::clone(&store) as Arc<dyn polos_store::Store>).await;
    let server = server.map_err(|error| split(&error.to_string()))?;
    if announces {
        store.announce(server.url())?;
    }
    Ok(server)
}

/// Opens the store of a data directory, with errors that tell the way out.
async fn open(directory: &Path) -> Result<Arc<sqlite::Store>> {
    let began = Instant::now();
    loop {
        let wanted = directory.to_owned();
        let open = move || sqlite::Store::open(&wanted, sqlite::Options::default());
        match tokio::task::spawn_blocking(open).await? {
            Ok(store) => return Ok(Arc::new(store)),
            Err(OpenError::Locked { .. })
                if began.elapsed() < PASSING_MAX && is_passing(directory) =>
            {
                tokio::time::sleep(AGAIN_AFTER).await;
            }
            Err(error) => return Err(problem(&error)),
        }
    }
}

/// True if whoever has the directory tells no address: it is a command that is gone in a moment, a
/// server that has just started, or somebody who only looked.
fn is_passing(directory: &Path) -> bool {
    let holder = sqlite::holder(directory).ok().flatten();
    holder.is_none_or(|holder| holder.address.is_none())
}

fn problem(error: &OpenError) -> anyhow::Error {
    let (code, hint) = match error {
        OpenError::Locked { .. } => {
            ("data_dir_in_use", "use the server that is there, stop it, or choose `--data-dir`")
        }
        OpenError::Directory { .. } => {
            ("data_dir_unusable", "choose another directory with `--data-dir`")
        }
        OpenError::Newer { .. } => ("newer_schema", ""),
        OpenError::Database { .. } => {
            ("database_unusable", "see `polos explain database_unusable`")
        }
    };
    Problem::new(code, error.to_string(), hint)
}

/// Copies the database of a data directory into a new file.
pub(crate) fn backup(directory: &Path, into: &Path, progress: impl FnMut(Progress)) -> Result<()> {
    sqlite::backup(directory, into, progress).map_err(|error| {
        let hint = match &error {
            BackupError::Missing(_) => "check `--data-dir`",
            _ => "",
        };
        Problem::new("backup_failed", error.to_string(), hint)
    })
}

/// The server's own errors carry their hint behind the message.
fn split(text: &str) -> anyhow::Error {
    let (message, hint) = text.split_once("; hint: ").unwrap_or((text, ""));
    Problem::new("server", message, hint)
}

/// Set by a program that starts this one for itself, with a pipe as standard input: when that is
/// closed the program is gone, however it ended.
const END_WITH_STDIN: &str = "POLOS_END_WITH_STDIN";

/// Comes true when somebody wants this process to end: Ctrl-C, a polite kill, or the end of the
/// program that it was started for.
pub(crate) async fn asked_to_end() {
    tokio::select! {
        () = signalled() => {}
        () = stdin_closed(), if std::env::var_os(END_WITH_STDIN).is_some() => {}
    }
}

async fn stdin_closed() {
    let (closed, is_closed) = tokio::sync::oneshot::channel();
    // A thread of its own: a read from standard input cannot be cancelled.
    std::thread::spawn(move || {
        std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink()).ok();
        closed.send(()).ok();
    });
    is_closed.await.ok();
}

async fn signalled() {
    let interrupt = tokio::signal::ctrl_c();
    #[cfg(unix)]
    {
        let kind = tokio::signal::unix::SignalKind::terminate();
        let Ok(mut terminate) = tokio::signal::unix::signal(kind) else {
            interrupt.await.ok();
            return;
        };
        tokio::select! {
            _ = interrupt => {}
            _ = terminate.recv() => {}
        }
    }
    #[cfg(not(unix))]
    interrupt.await.ok();
}
