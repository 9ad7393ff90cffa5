//! Copies of the database, whole as of one moment, while a server writes to it or none runs.
//!
//! A copy is one file. It is restored by laying it as `polos.db` into an empty data directory; the
//! next opening then begins an incarnation that the original never had (see `open`).

use super::{FILE, Store};
use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, OpenFlags};
use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long to wait for a writer that holds the database.
const BUSY: Duration = Duration::from_secs(10);
/// Pages copied between two reports of progress.
const STEP_PAGES: i32 = 256;

/// Why there is no copy.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// Nothing is written over.
    #[error("`{0}` is there already; name a new file")]
    Exists(PathBuf),
    /// There is nothing to copy.
    #[error("there is no database `{0}`")]
    Missing(PathBuf),
    /// The file cannot be written.
    #[error("the backup `{path}` cannot be written: {cause}")]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        cause: io::Error,
    },
    /// Another program uses the file.
    #[error("another program uses `{0}`; name a new file")]
    Busy(PathBuf),
    /// The database cannot be read, or its copy not be written.
    #[error("the backup failed: {0}")]
    Database(#[from] rusqlite::Error),
}

/// How far a copy is, in pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Pages copied.
    pub done: u64,
    /// Pages in all.
    pub total: u64,
}

/// Copies the database of a data directory, whoever has it, into a file that must not be there yet,
/// readable by its owner only, and says how far it is. The copy is durable when this returns; a
/// failed one leaves nothing behind.
///
/// # Errors
/// There is no database, it cannot be read, or the file is there already or cannot be written.
pub fn backup(
    directory: &Path,
    into: &Path,
    progress: impl FnMut(Progress),
) -> Result<(), BackupError> {
    let from = directory.join(FILE);
    if !from.is_file() {
        return Err(BackupError::Missing(from));
    }
    if into.exists() {
        return Err(BackupError::Exists(into.to_owned()));
    }
    let write = |cause| BackupError::Write { path: into.to_owned(), cause };
    // Under another name until it is whole: a copy that was broken off must not look like one.
    let mut name = into.as_os_str().to_owned();
    name.push(".partial");
    let partial = PathBuf::from(name);
    create(&partial).map_err(write)?;
    let done = copy(&from, &partial, progress).and_then(|()| finish(&partial, into).map_err(write));
    if done.is_err() {
        // The error that matters is the first.
        _ = std::fs::remove_file(&partial);
    }
    done
}

impl Store {
    /// Copies this store: [`backup`] of its own directory.
    ///
    /// # Errors
    /// As [`backup`].
    pub fn backup(&self, into: &Path) -> Result<(), BackupError> {
        backup(self.path().parent().unwrap_or(Path::new(".")), into, |_| {})
    }
}

fn create(path: &Path) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map(drop)
}

fn copy(from: &Path, into: &Path, mut progress: impl FnMut(Progress)) -> Result<(), BackupError> {
    let source = Connection::open_with_flags(from, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    source.busy_timeout(BUSY)?;
    // An open read keeps the copy at one moment, however many steps it takes.
    source.execute_batch("BEGIN; SELECT count(*) FROM sqlite_schema;")?;
    let mut target = Connection::open(into)?;
    let backup = Backup::new(&source, &mut target)?;
    loop {
        let step = backup.step(STEP_PAGES)?;
        let pages = backup.progress();
        let count = |pages: i32| u64::try_from(pages).unwrap_or(0);
        let total = count(pages.pagecount);
        progress(Progress { done: total.saturating_sub(count(pages.remaining)), total });
        match step {
            StepResult::Done => break,
            StepResult::More => {}
            // The source is only read, so it is the copy that somebody holds.
            _ => return Err(BackupError::Busy(into.to_owned())),
        }
    }
    drop(backup);
    // One file, without a write-ahead log beside it.
    target.pragma_update_and_check(None, "journal_mode", "delete", |_| Ok(()))?;
    target.close().map_err(|(_, cause)| cause.into())
}

fn finish(partial: &Path, into: &Path) -> io::Result<()> {
    File::open(partial)?.sync_all()?;
    std::fs::rename(partial, into)?;
    let directory = into.parent().filter(|parent| !parent.as_os_str().is_empty());
    File::open(directory.unwrap_or(Path::new(".")))?.sync_all()
}
