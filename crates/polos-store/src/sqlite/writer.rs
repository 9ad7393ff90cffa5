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
        let result = self.unless_failed(|writer| writer.transact(batch));
        if result.is_ok() && self.wal_pages.load(Ordering::Relaxed) >= self.checkpoint_pages {
            self.checkpoint();
        }
        result
    }

    /// Acts, unless the disk has failed before; remembers if it fails now.
    fn unless_failed<T>(
        &mut self,
        act: impl FnOnce(&mut Self) -> Result<T, CommitError>,
    ) -> Result<T, CommitError> {
        if let Some(failed) = &self.failed {
            return Err(CommitError::Fatal(failed.clone()));
        }
        let result = act(self);
        if let Err(CommitError::Fatal(message)) = &result {
            self.failed = Some(message.clone());
        }
        result
    }

    fn free_pages(&self, pages_max: u32) -> rusqlite::Result<u64> {
        let free = || -> rusqlite::Result<u64> {
            self.connection.pragma_query_value(None, "freelist_count", |row| row.get(0))
        };
        let before = free()?;
        // Each step of the statement gives one page back.
        let sql = format!("PRAGMA incremental_vacuum({pages_max})");
        let mut statement = self.connection.prepare(&sql)?;
        let mut rows = statement.query([])?;
        while rows.next()?.is_some() {}
        Ok(before.saturating_sub(free()?))
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

    /// Gives free pages back, and says how many.
    pub(super) fn vacuum(&mut self, pages_max: u32) -> Result<u64, CommitError> {
        let freed = self.unless_failed(|writer| {
            let freed = writer.free_pages(pages_max);
            freed.map_err(|cause| failure::of_commit(&cause))
        })?;
        self.checkpoint();
        Ok(freed)
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
