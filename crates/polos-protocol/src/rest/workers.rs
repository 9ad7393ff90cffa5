//! Workers, and what they can run.

use crate::{Definition, Millis, RunId, WorkerId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A worker that is, or was lately, connected.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct WorkerStatus {
    /// Its id.
    pub id: WorkerId,
    /// Its name.
    pub name: String,
    /// Its machine.
    pub host: String,
    /// Its process id, or 0.
    pub pid: u32,
    /// Its SDK and version.
    pub sdk: String,
    /// The build of its code.
    pub build: String,
    /// `connected`, `lost` (in its grace or lease) or `draining`.
    pub state: String,
    /// How many runs it takes at once.
    pub slots: u32,
    /// The runs it has now.
    pub runs: Vec<RunId>,
    /// What it can run, by name.
    pub definitions: Vec<String>,
    /// Since when.
    pub connected_ms: Millis,
}

/// A workflow, agent or tool, and who can run it.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct DefinitionStatus {
    /// What it is.
    #[serde(flatten)]
    pub definition: Definition,
    /// The builds that have it now.
    pub builds: Vec<String>,
    /// How many connected workers have it.
    pub workers: u32,
}
