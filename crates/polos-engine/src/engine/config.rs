//! The engine's figures.

use polos_protocol::limits;

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
    /// How much longer than a step's limit the server waits before it takes a run away.
    pub wedged_margin_ms: u64,
    /// A change of the rules, by name, for tests that prove that the simulation bites: see
    /// docs/concepts/simulation.md. Empty in every real server.
    pub mutation: Option<&'static str>,
}

impl Config {
    /// True if this mutation of the rules is switched on.
    pub(crate) fn is_mutated(&self, name: &str) -> bool {
        self.mutation == Some(name)
    }
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
            wedged_margin_ms: 30_000,
            mutation: None,
        }
    }
}
