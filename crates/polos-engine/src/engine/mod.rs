//! The engine itself: what it holds in memory, and the loop's four steps.

use crate::error::Error;
use crate::input::{Input, Moment};
use crate::output::Output;
use polos_protocol::{Millis, limits};
use polos_store::{Command, Read, ReadError};

/// The engine's figures; the defaults are the protocol's.
#[derive(Debug, Clone)]
pub struct Config {
    /// The server's version, for `welcome`.
    pub version: String,
    /// The store's incarnation, for `welcome`.
    pub incarnation: u64,
    /// A connection that says nothing for this long has lost its runs.
    pub lease_ms: u64,
    /// How often workers are pinged.
    pub ping_ms: u64,
    /// How long a connection that ended may take to come back.
    pub grace_ms: u64,
    /// How long a waiting run stays in its worker's memory.
    pub hot_ms: u64,
    /// How long a started run may take to be accepted.
    pub accept_ms: u64,
    /// How long cleanup may take after a cancellation.
    pub cleanup_ms: u64,
    /// How long a step may take unless its definition says otherwise.
    pub step_timeout_ms: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            incarnation: 0,
            lease_ms: limits::LEASE_MS,
            ping_ms: limits::PING_MS,
            grace_ms: limits::GRACE_MS,
            hot_ms: limits::HOT_MS,
            accept_ms: limits::ACCEPT_MS,
            cleanup_ms: limits::CLEANUP_MS,
            step_timeout_ms: limits::STEP_TIMEOUT_MS,
        }
    }
}

/// The state machine. See the crate's page for the loop around it.
#[derive(Debug)]
pub struct Engine {
    config: Config,
}

impl Engine {
    /// Builds the engine from what the store holds. Runs that were assigned wait for their workers
    /// to come back, for the grace.
    pub fn load(config: Config, _now: Millis, _store: &dyn Read) -> Result<Self, ReadError> {
        Ok(Self { config })
    }

    /// Takes an input in. Nothing of it may leave before [`Engine::committed`].
    pub fn handle(&mut self, _moment: Moment, _input: Input, _store: &dyn Read) {
        let _ = &self.config;
    }

    /// The commands of all inputs since the last call, in order: one batch.
    pub fn take_commands(&mut self) -> Vec<Command> {
        Vec::new()
    }

    /// The batch is durable (or there was none): what may leave now, in order.
    pub fn committed(&mut self, _now: Millis, _store: &dyn Read) -> Result<Vec<Output>, Error> {
        Ok(Vec::new())
    }

    /// When [`Input::Tick`] is due next, if nothing else happens.
    pub fn next_deadline(&self) -> Option<Millis> {
        None
    }
}
