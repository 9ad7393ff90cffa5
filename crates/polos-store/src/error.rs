//! What can go wrong with a store.

use std::path::PathBuf;

/// Why a store could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another server has the data directory.
    #[error("the data directory `{directory}` is in use by {holder}")]
    Locked {
        /// The directory.
        directory: PathBuf,
        /// Who has it, as far as it says so.
        holder: String,
    },
    /// The directory cannot be made or written.
    #[error("the data directory `{directory}` cannot be used: {cause}")]
    Directory {
        /// The directory.
        directory: PathBuf,
        /// What the system said.
        #[source]
        cause: std::io::Error,
    },
    /// A newer Polos has been here.
    #[error(
        "the data in `{path}` has schema {found}; this Polos knows up to {known}: install a newer Polos, or use another data directory"
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// The schema it has.
        found: u32,
        /// The newest schema this build knows.
        known: u32,
    },
    /// The database itself.
    #[error("the database `{path}` cannot be opened: {message}")]
    Database {
        /// The file.
        path: PathBuf,
        /// What it said.
        message: String,
    },
}

/// What became of a batch that did not commit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CommitError {
    /// Nothing was written, and trying again later may help: the disk is full, the database busy.
    #[error("the store cannot write now: {0}")]
    Unavailable(String),
    /// Nothing was written, and nothing can be: the files are read only.
    #[error("the store is read only: {0}")]
    ReadOnly(String),
    /// Nobody knows whether it was written: read again before answering anyone.
    #[error("the outcome of a commit is unknown: {0}")]
    Unknown(String),
    /// Another owner has the store: this one must end.
    #[error("another server owns the store: {0}")]
    Fenced(String),
    /// The disk failed, or a change contradicts what is stored. The process must end: what it
    /// believes may not be true.
    #[error("the store cannot go on: {0}")]
    Fatal(String),
}

impl CommitError {
    /// True if the same batch may be tried again as it is.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Unavailable(_))
    }
}

/// Why a read failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// A row does not read back as what was written.
    #[error("the row `{row}` is damaged: {message}")]
    Damaged {
        /// Which row.
        row: String,
        /// What does not fit.
        message: String,
    },
    /// The cursor of a page is none that this store gave.
    #[error("`{0}` is not a cursor; leave it out to begin at the first page")]
    Cursor(String),
    /// The database itself.
    #[error("the store cannot be read: {0}")]
    Database(String),
}
