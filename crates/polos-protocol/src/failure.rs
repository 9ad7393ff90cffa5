//! What went wrong: a failure of code, and the reason why a run is blocked.

use crate::Millis;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// An error as recorded: what the code raised, or what the engine says instead of a result.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Failure {
    /// A stable word for programs: `error` for what user code raised without a code of its own.
    pub code: String,
    /// What happened, for people.
    pub message: String,
    /// True if trying again cannot help: the run fails instead of blocking.
    #[serde(default, skip_serializing_if = "is_false")]
    pub terminal: bool,
    /// The type or class of the error in the user's language, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// What caused it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<Box<Self>>,
    /// Anything a program may want to know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub details: Option<serde_json::Value>,
}

impl Failure {
    /// A failure with a code and a message.
    pub fn new(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self { code: code.into(), message: message.into(), ..Self::default() }
    }

    /// Marks the failure as one that trying again cannot help.
    #[must_use]
    pub fn terminal(mut self) -> Self {
        self.terminal = true;
        self
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde wants")]
fn is_false(value: &bool) -> bool {
    !value
}

/// Why a run needs a person.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Blocked {
    /// One of the codes in [`codes`], each with a page under docs/errors.
    pub code: String,
    /// What is wrong, in one sentence.
    pub message: String,
    /// The way out: the verb that mends it.
    pub hint: String,
    /// The step it concerns, as a key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,
    /// What the journal holds and what the code asked for, where the two disagree.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub difference: Option<Difference>,
    /// The error nobody caught, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
    /// Since when, in milliseconds since the epoch; set by the server.
    #[serde(default)]
    pub since: Millis,
}

/// The two sides of a disagreement between code and journal, as a person reads them.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Difference {
    /// What the journal holds, one line a record, in order.
    pub recorded: Vec<String>,
    /// What the code asked for, one line a request, in order.
    pub asked: Vec<String>,
}

/// The codes of [`Blocked`]. Persisted; each has a page docs/errors/CODE.md.
pub mod codes {
    /// Code and journal disagree on which steps there are.
    pub const NONDETERMINISM: &str = "nondeterminism";
    /// A recorded step was asked for with other arguments.
    pub const FINGERPRINT_MISMATCH: &str = "fingerprint_mismatch";
    /// A run is about to park or end with a recorded `once` step or child that was never asked for.
    pub const ORPHANED_STEP: &str = "orphaned_step";
    /// A `once` step whose outcome nobody knows.
    pub const STEP_IN_DOUBT: &str = "step_in_doubt";
    /// An error that nobody caught.
    pub const UNCAUGHT_ERROR: &str = "uncaught_error";
    /// The run's code misused its context (a step dropped or awaited outside its task).
    pub const MISUSE: &str = "misuse";
    /// Two steps of one name were open at once in one scope.
    pub const AMBIGUOUS_STEP_KEY: &str = "ambiguous_step_key";
    /// The run killed the workers it ran on.
    pub const POISON: &str = "poison";
    /// The journal has reached its limit.
    pub const JOURNAL_LIMIT: &str = "journal_limit";
    /// Runs that hold their queue slots wait for each other.
    pub const QUEUE_DEADLOCK: &str = "queue_deadlock";
    /// A budget is reached.
    pub const BUDGET: &str = "budget";
    /// A step outlived its time limit and its worker did not say so.
    pub const WEDGED: &str = "wedged";
}
