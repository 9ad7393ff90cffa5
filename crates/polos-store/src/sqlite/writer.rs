//! The writing connection: batches, checkpoints, and the end of both when the disk has failed.

use super::{failure, tx};
use crate::command::{Batch, Outcome};
use crate::error::CommitError;
use rusqlite::{Connection, TransactionBehavior, ffi};
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};

/// The writing connection.
#[derive(Debug)]
pub(super) struct Writer {
    connection: Connection,
    /// The length of the write-ahead log after the last commit, in pages.
    wal_pages: Arc<AtomicI32>,
    checkpoint_pages: i32,
    /// Why nothing is written any more.
    failed: Option<String>,
}

impl Writer {
    /// Takes a connection, and its checkpoints, over.
    pub(super) fn new(mut connection: Connection, checkpoint_pages: u32) -> rusqlite::Result<Self> {
        let wal_pages = Arc::new(AtomicI32::new(0));
        let pages = Arc::clone(&wal_pages);
        // The hook stands in the place of SQLite's own automatic checkpoint.
        connection.wal_hook(Some(move |_: &mut rusqlite::hooks::Wal, length| {
            pages.store(length, Ordering::Relaxed);
            Ok(())
        }))?;
        let checkpoint_pages = i32::try_from(checkpoint_pages).unwrap_or(i32::MAX);
        Ok(Self { connection, wal_pages, checkpoint_pages, failed: None })
    }

    /// Makes a batch durable.
    pub(super) fn commit(&mut self, batch: &Batch) -> Result<Vec<Outcome>, CommitError> {
        if let Some(failed) = &self.failed {
            return Err(CommitError::Fatal(failed.clone()));
        }
        let result = self.transact(batch);
        if let Err(CommitError::Fatal(message)) = &result {
            self.failed = Some(message.clone());
        }
        if result.is_ok() && self.wal_pages.load(Ordering::Relaxed) >= self.checkpoint_pages {
            self.checkpoint();
        }
        result
    }

    fn transact(&mut self, batch: &Batch) -> Result<Vec<Outcome>, CommitError> {
        let tx = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(|cause| failure::Fault::Sql(cause).before_commit())?;
        // Dropped on failure, a transaction rolls back.
        let outcomes = tx::apply(&tx, batch).map_err(failure::Fault::before_commit)?;
        let committed = tx.commit();
        if !self.connection.is_autocommit() {
            return Err(CommitError::Fatal("a transaction could not be rolled back".to_owned()));
        }
        committed.map_err(|cause| failure::of_commit(&cause))?;
        Ok(outcomes)
    }

    /// Folds the write-ahead log into the database. What is in the log is durable already, so a
    /// failure here takes nothing back; but after a failed fsync nothing further may be promised.
    fn checkpoint(&mut self) {
        let folded = self.connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()));
        let Err(cause) = folded else { return };
        tracing::warn!(%cause, "the write-ahead log could not be folded into the database");
        if let rusqlite::Error::SqliteFailure(code, _) = &cause
            && matches!(
                code.extended_code,
                ffi::SQLITE_IOERR_FSYNC | ffi::SQLITE_IOERR_DIR_FSYNC | ffi::SQLITE_IOERR_TRUNCATE
            )
        {
            self.failed = Some(format!("a checkpoint failed: {cause}"));
        }
    }
}
