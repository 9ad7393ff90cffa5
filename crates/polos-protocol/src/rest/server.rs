//! The server itself.

use crate::{Millis, Namespace};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `GET /v1/health`: needs no key.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Health {
    /// `ok`, or `degraded` while the store refuses writes.
    pub status: String,
    /// What is wrong, if anything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// `GET /v1/version`
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Version {
    /// The server's version.
    pub version: String,
    /// The lowest and the highest worker protocol it speaks.
    pub protocol: [u16; 2],
    /// The version of the store's schema.
    pub schema: u32,
    /// Counts the store's lives.
    pub incarnation: u64,
    /// The namespace of the caller's key.
    pub namespace: Namespace,
    /// The server's time.
    pub now: Millis,
}

/// What a server writes into `server.json` in its data directory (mode 0600), for those who
/// attach to it.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct ServerAddress {
    /// `http://127.0.0.1:4300` and the like.
    pub url: String,
    /// Its process id.
    pub pid: u32,
    /// Its version.
    pub version: String,
}
