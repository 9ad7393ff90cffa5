//! The reading connections: opened when first wanted, at most so many; who comes later waits.

use super::column::unreadable;
use super::open::{self, Options};
use crate::error::ReadError;
use rusqlite::Connection;
use std::path::PathBuf;
use std::sync::{Condvar, Mutex, PoisonError};

/// Reading connections.
#[derive(Debug)]
pub(super) struct Pool {
    path: PathBuf,
    options: Options,
    state: Mutex<State>,
    returned: Condvar,
}

#[derive(Debug, Default)]
struct State {
    idle: Vec<Connection>,
    opened: usize,
}

impl Pool {
    /// A pool without a connection yet.
    pub(super) fn new(path: PathBuf, options: &Options) -> Self {
        let options = options.clone();
        Self { path, options, state: Mutex::default(), returned: Condvar::new() }
    }

    /// Lends a connection to `read`.
    pub(super) fn with<T>(
        &self,
        read: impl FnOnce(&Connection) -> Result<T, ReadError>,
    ) -> Result<T, ReadError> {
        let mut lent = Lent { pool: self, connection: self.take() };
        let connection = match &mut lent.connection {
            Some(connection) => connection,
            none => none.insert(open::reader(&self.path, &self.options).map_err(unreadable)?),
        };
        read(connection)
    }

    /// An idle connection, or none where a new one is to be opened.
    fn take(&self) -> Option<Connection> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(connection) = state.idle.pop() {
                return Some(connection);
            }
            if state.opened < self.options.readers_max.max(1) {
                state.opened += 1;
                return None;
            }
            state = self.returned.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// A place in the pool, given back however the read ends.
struct Lent<'p> {
    pool: &'p Pool,
    connection: Option<Connection>,
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        let mut state = self.pool.state.lock().unwrap_or_else(PoisonError::into_inner);
        match self.connection.take() {
            Some(connection) => state.idle.push(connection),
            None => state.opened -= 1,
        }
        self.pool.returned.notify_one();
    }
}
