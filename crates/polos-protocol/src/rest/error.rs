//! The one shape of an error.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The body of every answer that is not a success.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct ErrorResponse {
    /// The error.
    pub error: ErrorBody,
}

/// What went wrong and how to mend it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ErrorBody {
    /// A stable word for programs; each has a page docs/errors/CODE.md.
    pub code: String,
    /// What went wrong, naming the thing.
    pub message: String,
    /// The way out; empty if none is known.
    #[serde(default)]
    pub hint: String,
    /// Anything a program may want to know.
    #[serde(default)]
    pub details: serde_json::Value,
}
