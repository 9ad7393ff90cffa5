//! What `SQLite` says, in the store's words: what was surely not written, what nobody knows, and what
//! must end the process (durability.md 16).

use crate::error::CommitError;
use rusqlite::ffi;

/// Why a transaction was given up.
#[derive(Debug)]
pub(super) enum Fault {
    /// The database failed.
    Sql(rusqlite::Error),
    /// The batch is of an owner that has the store no more.
    Fenced {
        /// The owner that the batch names.
        batch: u64,
        /// The owner that the database names.
        owner: u64,
    },
    /// A change does not fit what is stored.
    Contradiction(String),
}

impl From<rusqlite::Error> for Fault {
    fn from(cause: rusqlite::Error) -> Self {
        Self::Sql(cause)
    }
}

impl Fault {
    /// The error of a batch whose transaction was rolled back before its commit.
    pub(super) fn before_commit(self) -> CommitError {
        match self {
            Self::Fenced { batch, owner } => CommitError::Fenced(format!(
                "the batch is of incarnation {batch}, the store is at {owner}"
            )),
            Self::Contradiction(message) => contradiction(&message),
            Self::Sql(cause) => of_statement(&cause),
        }
    }
}

fn contradiction(message: &str) -> CommitError {
    CommitError::Fatal(format!("a change contradicts what is stored: {message}"))
}

fn of_statement(cause: &rusqlite::Error) -> CommitError {
    let rusqlite::Error::SqliteFailure(code, _) = cause else {
        return contradiction(&cause.to_string());
    };
    let message = cause.to_string();
    match code.extended_code & 0xff {
        ffi::SQLITE_FULL => CommitError::Unavailable(full(&message)),
        ffi::SQLITE_READONLY | ffi::SQLITE_PERM => CommitError::ReadOnly(message),
        ffi::SQLITE_BUSY | ffi::SQLITE_LOCKED => {
            CommitError::Unavailable(format!("another program is writing: {message}"))
        }
        ffi::SQLITE_CANTOPEN | ffi::SQLITE_NOMEM | ffi::SQLITE_INTERRUPT => {
            CommitError::Unavailable(message)
        }
        ffi::SQLITE_CONSTRAINT | ffi::SQLITE_MISMATCH | ffi::SQLITE_TOOBIG => {
            contradiction(&message)
        }
        ffi::SQLITE_IOERR if is_write(code.extended_code) => {
            CommitError::Unavailable(full(&message))
        }
        _ => CommitError::Fatal(message),
    }
}

/// The error of a COMMIT that failed. A write that failed leaves no valid commit frame behind, so
/// it is as if nothing had been written; after a failed fsync nothing is certain any more.
pub(super) fn of_commit(cause: &rusqlite::Error) -> CommitError {
    match cause {
        rusqlite::Error::SqliteFailure(code, _)
            if code.extended_code & 0xff == ffi::SQLITE_IOERR
                && !is_write(code.extended_code)
                && !is_sync(code.extended_code) =>
        {
            CommitError::Unknown(cause.to_string())
        }
        _ => of_statement(cause),
    }
}

fn is_write(extended_code: i32) -> bool {
    extended_code == ffi::SQLITE_IOERR_WRITE
}

fn is_sync(extended_code: i32) -> bool {
    matches!(extended_code, ffi::SQLITE_IOERR_FSYNC | ffi::SQLITE_IOERR_DIR_FSYNC)
}

fn full(message: &str) -> String {
    format!("{message}; free some space on the disk of the data directory")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(extended_code: i32) -> rusqlite::Error {
        rusqlite::Error::SqliteFailure(ffi::Error::new(extended_code), None)
    }

    fn check(extended_code: i32, statement: &str, commit: &str) {
        let name = |error: CommitError| format!("{error:?}").split('(').next().unwrap().to_owned();
        assert_eq!(name(of_statement(&failure(extended_code))), statement, "{extended_code}");
        assert_eq!(name(of_commit(&failure(extended_code))), commit, "{extended_code}");
    }

    #[test]
    fn each_failure_says_what_was_written() {
        check(ffi::SQLITE_FULL, "Unavailable", "Unavailable");
        check(ffi::SQLITE_BUSY, "Unavailable", "Unavailable");
        check(ffi::SQLITE_READONLY_DIRECTORY, "ReadOnly", "ReadOnly");
        check(ffi::SQLITE_IOERR_WRITE, "Unavailable", "Unavailable");
        check(ffi::SQLITE_IOERR_FSYNC, "Fatal", "Fatal");
        check(ffi::SQLITE_IOERR_DIR_FSYNC, "Fatal", "Fatal");
        check(ffi::SQLITE_IOERR_SHMMAP, "Fatal", "Unknown");
        check(ffi::SQLITE_CORRUPT, "Fatal", "Fatal");
        check(ffi::SQLITE_CONSTRAINT_PRIMARYKEY, "Fatal", "Fatal");
    }
}
