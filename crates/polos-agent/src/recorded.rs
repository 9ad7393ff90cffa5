//! What an agent's steps record, for whoever reads a journal: the loop itself on replay, and those
//! who show a run. Persisted; fields may be added.

use polos_llm::{Block, Response};
use serde::{Deserialize, Serialize};

/// The label of a step that called a model.
pub const MODEL: &str = "model";
/// The label of a step that ran a command.
pub const EXEC: &str = "exec";
/// The label of a step that used another tool.
pub const TOOL: &str = "tool";
/// The label of a step that only decided or looked something up.
pub const NOTE: &str = "note";

/// What a model step records: the reply, never the conversation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelReply {
    /// The reply, with the hash of the request.
    pub response: Response,
    /// What it cost, in millionths of a dollar; absent if that is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost_micros: Option<u64>,
}

/// What a tool step records.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolOutcome {
    /// The tool's name.
    pub tool: String,
    /// What it was about, in one line: the command, the path, the pattern.
    pub about: String,
    /// What the model reads.
    pub content: Vec<Block>,
    /// True if the model is told that it failed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_error: bool,
    /// How the command ended, if it was one and it ran.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ran: Option<Ran>,
}

/// How a command ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ran {
    /// Its exit status; absent when a signal or the toolbox ended it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// How long it took.
    pub duration_ms: u64,
    /// What it wrote to standard output; head and tail if it was long.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub stdout: String,
}

impl ToolOutcome {
    /// An outcome of one text.
    pub fn text(tool: &str, about: impl Into<String>, text: impl Into<String>) -> Self {
        let (tool, about) = (tool.to_owned(), about.into());
        Self { tool, about, content: vec![Block::text(text)], ..Self::default() }
    }

    /// The same outcome, told to the model as a failure.
    #[must_use]
    pub fn failed(mut self) -> Self {
        self.is_error = true;
        self
    }

    /// The block that answers the model's call.
    pub(crate) fn into_block(self, tool_use_id: &str) -> Block {
        Block::ToolResult {
            tool_use_id: tool_use_id.to_owned(),
            content: self.content,
            is_error: self.is_error,
        }
    }
}
