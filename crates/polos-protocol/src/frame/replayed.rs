//! The answer of a dry replay: a stored journal against a build, with no effect begun and nothing
//! written.
//!
//! A worker that finds `POLOS_REPLAY` in its environment connects to no server. It connects to the
//! Unix socket of that path and speaks the frames of this protocol there, one JSON text a line:
//! `hello`; then for each `start` it takes the journal's pages (`append`, the next one after each
//! `more`), asks for values (`fetch`, which come whole in one `blob`), and answers `replayed` instead
//! of recording anything.

use crate::{Blocked, RunId, StepKey};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The variable that names the socket of a dry replay.
pub const REPLAY_VARIABLE: &str = "POLOS_REPLAY";

/// How a dry replay of a run ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Replayed {
    /// The run.
    pub run: RunId,
    /// The build that replayed it.
    pub build: Arc<str>,
    /// What was found.
    pub finding: Finding,
    /// What is worth a word and stops nothing, one sentence each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// What a dry replay has found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "result", rename_all = "snake_case")]
pub enum Finding {
    /// Code and journal agree to the journal's end.
    Agrees {
        /// What the code would do next, in words.
        next: String,
    },
    /// They agree so far, and the code asks for new steps before recorded ones. These would run
    /// and be journaled as inserted; what comes behind them cannot be checked without running them.
    Inserts {
        /// The new steps.
        steps: Vec<StepKey>,
        /// Recorded steps that were not reached.
        unchecked: Vec<StepKey>,
    },
    /// They disagree: the run would be blocked, for this reason.
    Differs {
        /// The reason, with both sides.
        blocked: Box<Blocked>,
    },
    /// It could not be replayed here.
    Unchecked {
        /// Why not.
        message: String,
    },
}
