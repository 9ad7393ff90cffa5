//! The embedded store: one `SQLite` file, `polos.db`, in a data directory that one server has at a
//! time. Writes go through one connection, a transaction and an fsync per batch; reads through a few
//! others, and see what is committed.
//!
//! The journal mode is WAL with `synchronous = FULL`: a batch is answered when its frames are on the
//! disk. Checkpoints are taken by the writer itself, not by `SQLite`'s own hook, which would swallow
//! an fsync that failed.

mod backup;
mod check;
mod column;
mod failure;
mod lock;
mod meta;
mod open;
mod page;
mod pool;
mod read;
mod schema;
mod table;
mod tx;
mod writer;

pub use backup::{BackupError, Progress, backup};
pub use lock::{Holder, holder};
pub use open::Options;

use crate::command::{Batch, Outcome};
use crate::error::{CommitError, OpenError};
use lock::Lock;
use pool::Pool;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use writer::Writer;

/// The name of the database within the data directory.
pub const FILE: &str = "polos.db";

/// The embedded store. Shared by reference or in an `Arc`.
#[derive(Debug)]
pub struct Store {
    // In this order they are dropped: the last connection to close is the writer's, which folds the
    // write-ahead log into the database; then the lock goes.
    reads: Pool,
    writer: Mutex<Writer>,
    lock: Lock,
    path: PathBuf,
    incarnation: u64,
}

impl Store {
    /// Opens the store in a data directory, which is made if it is not there. Takes the directory's
    /// lock, migrates an older schema, and begins a new incarnation.
    ///
    /// # Errors
    /// Another server has the directory, it cannot be written, its database is damaged or was
    /// written by a newer Polos.
    #[expect(clippy::needless_pass_by_value, reason = "options are taken, as everywhere")]
    pub fn open(directory: &Path, options: Options) -> Result<Self, OpenError> {
        let lock = open::prepare(directory, &options)?;
        let path = directory.join(FILE);
        let (connection, incarnation) = open::writer(&path, &options)?;
        let writer = Writer::new(connection, options.checkpoint_pages)
            .map_err(|cause| open::database(&path, &cause))?;
        let reads = Pool::new(path.clone(), &options);
        Ok(Self { reads, writer: Mutex::new(writer), lock, path, incarnation })
    }

    /// Writes the server's address into the lock file, for processes that want to attach.
    ///
    /// # Errors
    /// The lock file cannot be written.
    pub fn announce(&self, address: &str) -> std::io::Result<()> {
        self.lock.announce(address)
    }

    /// Gives pages that deleted rows left behind back to the file system, at most so many, and says
    /// how many. Meant for quiet times, in slices: each is a transaction of its own.
    ///
    /// # Errors
    /// As for a batch.
    pub fn vacuum(&self, pages_max: u32) -> Result<u64, CommitError> {
        self.writer().vacuum(pages_max)
    }

    /// The database file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn writer(&self) -> std::sync::MutexGuard<'_, Writer> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl crate::Store for Store {
    fn commit(&self, batch: Batch) -> Result<Vec<Outcome>, CommitError> {
        self.writer().commit(&batch)
    }

    fn incarnation(&self) -> u64 {
        self.incarnation
    }
}
