//! What a model answered: whole at the end, in pieces on the way.
//!
//! [`Response`] is persisted by whoever keeps a journal; its names are fixed.

use std::fmt;
use std::ops::{Add, AddAssign};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::message::{Block, Message, join_text};

/// Is a finished reply. One that was cut off is an [`crate::Error`], never this.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Response {
    pub content: Vec<Block>,
    pub stop: StopReason,
    pub usage: Usage,
    /// False when the provider said nothing about usage: the zeros then mean unknown.
    pub usage_reported: bool,
    /// As the provider names it, which may be more exact than what was asked for.
    pub model: String,
    /// `anthropic`, `openai`, `scripted`.
    pub provider: String,
    /// The provider's id of the message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The provider's id of the HTTP request, for its support.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// The sha256 of the body that was sent, in hexadecimal.
    pub request_hash: String,
}

impl Response {
    /// Joins the text blocks.
    pub fn text(&self) -> String {
        join_text(&self.content)
    }

    /// Lists the tool calls, in order: [`Block::ToolUse`] only.
    pub fn tool_uses(&self) -> impl Iterator<Item = &Block> {
        self.content.iter().filter(|block| matches!(block, Block::ToolUse { .. }))
    }

    /// Makes the assistant message to append to the conversation.
    pub fn message(&self) -> Message {
        Message::assistant(self.content.clone())
    }
}

/// Says why the model stopped. Serialised as the plain word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StopReason {
    EndTurn,
    ToolUse,
    MaxTokens,
    StopSequence,
    /// The provider paused a long turn; send the conversation back as it is to go on.
    PauseTurn,
    Refusal,
    ContextWindow,
    /// A word that this crate does not know.
    Other(String),
}

impl StopReason {
    /// Returns the persisted word.
    pub fn as_str(&self) -> &str {
        match self {
            Self::EndTurn => "end_turn",
            Self::ToolUse => "tool_use",
            Self::MaxTokens => "max_tokens",
            Self::StopSequence => "stop_sequence",
            Self::PauseTurn => "pause_turn",
            Self::Refusal => "refusal",
            Self::ContextWindow => "model_context_window_exceeded",
            Self::Other(word) => word,
        }
    }

    pub(crate) fn from_word(word: &str) -> Self {
        match word {
            "end_turn" => Self::EndTurn,
            "tool_use" => Self::ToolUse,
            "max_tokens" => Self::MaxTokens,
            "stop_sequence" => Self::StopSequence,
            "pause_turn" => Self::PauseTurn,
            "refusal" => Self::Refusal,
            "model_context_window_exceeded" => Self::ContextWindow,
            other => Self::Other(other.to_owned()),
        }
    }
}

impl fmt::Display for StopReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for StopReason {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for StopReason {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|word| Self::from_word(&word))
    }
}

/// Counts tokens, the same way for every provider: no token is in two of the first five.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Usage {
    /// Input that was neither read from a cache nor written to one.
    pub input_uncached: u64,
    pub cache_read: u64,
    /// Written for minutes (Anthropic 5 minutes, OpenAI 30 minutes).
    pub cache_write_short: u64,
    /// Written for hours (Anthropic 1 hour).
    pub cache_write_long: u64,
    /// All output, reasoning included.
    pub output: u64,
    /// The part of `output` that was reasoning, where the provider says so.
    pub reasoning: u64,
}

impl Usage {
    /// Counts all input, however it was billed.
    pub fn input(&self) -> u64 {
        self.input_uncached
            .saturating_add(self.cache_read)
            .saturating_add(self.cache_write_short)
            .saturating_add(self.cache_write_long)
    }

    /// Counts input and output.
    pub fn total(&self) -> u64 {
        self.input().saturating_add(self.output)
    }
}

impl Add for Usage {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            input_uncached: self.input_uncached.saturating_add(other.input_uncached),
            cache_read: self.cache_read.saturating_add(other.cache_read),
            cache_write_short: self.cache_write_short.saturating_add(other.cache_write_short),
            cache_write_long: self.cache_write_long.saturating_add(other.cache_write_long),
            output: self.output.saturating_add(other.output),
            reasoning: self.reasoning.saturating_add(other.reasoning),
        }
    }
}

impl AddAssign for Usage {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

/// Is a piece of a reply on its way. `index` tells parallel tool calls apart; it is no place in
/// [`Response::content`].
///
/// Deltas are for showing. If the call then fails, what they showed is void.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Delta {
    /// The provider accepted the request and names the model that answers.
    Started {
        model: String,
    },
    Text {
        text: String,
    },
    Thinking {
        text: String,
    },
    ToolStart {
        index: usize,
        id: String,
        name: String,
    },
    /// A piece of the arguments' JSON text.
    ToolInput {
        index: usize,
        json: String,
    },
}
