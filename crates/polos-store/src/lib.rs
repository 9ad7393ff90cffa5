//! The rows of Polos. A [`Store`] takes a batch of commands (preconditions and row changes as plain
//! data), makes it durable in one transaction and says what became of each; reads stand apart. It
//! finds and keeps rows; it decides nothing about runs, keeps no clock and draws no random number.
//!
//! Reading order: [`row`] is what there is, [`command`] how it changes, [`read`] how it is found.

pub mod command;
pub mod error;
pub mod read;
pub mod row;
pub mod sqlite;

pub use command::{Batch, Change, Check, Command, Outcome};
pub use error::{CommitError, OpenError, ReadError};
pub use read::Read;

/// A durable home for rows. Cheap to share; all methods block.
pub trait Store: Read + Send + Sync + 'static {
    /// Makes a batch durable in one transaction. The outcomes stand in the order of the commands; a
    /// command whose check fails changes nothing and does not undo its neighbours.
    ///
    /// # Errors
    /// [`CommitError`] says whether nothing was written, or whether nobody knows.
    fn commit(&self, batch: Batch) -> Result<Vec<Outcome>, CommitError>;

    /// Counts the store's lives: higher after every opening, and after a restored backup.
    fn incarnation(&self) -> u64;
}
