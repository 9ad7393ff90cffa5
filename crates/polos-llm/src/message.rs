//! What is said: messages made of blocks, in a serialised form that journals may keep.
//!
//! The field and variant names below are persisted; they are not the wire form of any provider.

use serde::{Deserialize, Serialize};

use crate::json::Json;

/// Names the speaker. Tool results are spoken by the user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    User,
    Assistant,
}

/// Is one turn of a conversation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    pub role: Role,
    pub content: Vec<Block>,
}

impl Message {
    /// Makes a user turn of one text.
    pub fn user(text: impl Into<String>) -> Self {
        Self { role: Role::User, content: vec![Block::text(text)] }
    }

    /// Makes a user turn of the results of the tools that the last assistant turn asked for.
    pub fn tool_results(results: Vec<Block>) -> Self {
        Self { role: Role::User, content: results }
    }

    /// Makes the assistant turn to send back: all blocks of a response, verbatim.
    pub fn assistant(content: Vec<Block>) -> Self {
        Self { role: Role::Assistant, content }
    }

    /// Joins the text blocks.
    pub fn text(&self) -> String {
        join_text(&self.content)
    }
}

/// Is one piece of a message.
///
/// `extra` holds the provider's further fields of that block, exactly as they came (citations, for
/// one); it goes back with the block.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Block {
    Text {
        text: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        extra: Option<Json>,
    },
    /// Reasoning. Without a signature it is for reading only and is not sent back.
    Thinking {
        thinking: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        signature: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        extra: Option<Json>,
    },
    /// Reasoning that only the provider can read.
    RedactedThinking {
        data: String,
    },
    ToolUse {
        id: String,
        name: String,
        /// Always an object.
        input: Json,
        /// What the model wrote when it was not a JSON object; `input` is then `{}`. The tool must
        /// not run: answer with an error result that says so.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        malformed: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        extra: Option<Json>,
    },
    ToolResult {
        tool_use_id: String,
        /// Text and images.
        content: Vec<Self>,
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        is_error: bool,
    },
    Image {
        source: ImageSource,
    },
    /// A block that this crate does not know, exactly as the provider wrote it. It goes back to
    /// Anthropic unchanged and is left out for others.
    Other {
        json: Json,
    },
}

/// Says where an image's bytes are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ImageSource {
    Base64 { media_type: String, data: String },
    Url { url: String },
}

impl Block {
    /// Makes a text block.
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text { text: text.into(), extra: None }
    }

    /// Makes a call of a tool, as a model would have written it.
    pub fn tool_use(id: impl Into<String>, name: impl Into<String>, input: Json) -> Self {
        Self::ToolUse { id: id.into(), name: name.into(), input, malformed: None, extra: None }
    }

    /// Makes the answer to a tool call.
    pub fn tool_result(tool_use_id: impl Into<String>, text: impl Into<String>) -> Self {
        Self::ToolResult {
            tool_use_id: tool_use_id.into(),
            content: vec![Self::text(text)],
            is_error: false,
        }
    }

    /// Makes the answer to a tool call that failed.
    pub fn tool_error(tool_use_id: impl Into<String>, text: impl Into<String>) -> Self {
        Self::ToolResult {
            tool_use_id: tool_use_id.into(),
            content: vec![Self::text(text)],
            is_error: true,
        }
    }
}

/// Joins the text blocks of a content list.
pub(crate) fn join_text(content: &[Block]) -> String {
    let texts: Vec<&str> = content
        .iter()
        .filter_map(|block| match block {
            Block::Text { text, .. } => Some(text.as_str()),
            _ => None,
        })
        .collect();
    texts.join("")
}
