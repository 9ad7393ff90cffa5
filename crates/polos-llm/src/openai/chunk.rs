//! A chunk of a streamed chat as it is on the wire; every field may be missing.

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::response::Usage;

#[derive(Deserialize)]
pub(super) struct Chunk {
    #[serde(default)]
    pub(super) id: Option<String>,
    #[serde(default)]
    pub(super) model: Option<String>,
    #[serde(default)]
    pub(super) choices: Option<Vec<Choice>>,
    #[serde(default)]
    pub(super) usage: Option<RawUsage>,
    #[serde(default)]
    pub(super) error: Option<Value>,
}

#[derive(Deserialize)]
pub(super) struct Choice {
    #[serde(default)]
    pub(super) index: u64,
    #[serde(default)]
    pub(super) delta: Option<Piece>,
    #[serde(default)]
    pub(super) finish_reason: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct Piece {
    #[serde(default)]
    pub(super) content: Option<Value>,
    #[serde(default)]
    pub(super) refusal: Option<String>,
    #[serde(default, alias = "reasoning")]
    pub(super) reasoning_content: Option<Value>,
    #[serde(default)]
    pub(super) tool_calls: Option<Vec<CallPiece>>,
}

#[derive(Deserialize)]
pub(super) struct CallPiece {
    #[serde(default)]
    pub(super) index: Option<u64>,
    #[serde(default)]
    pub(super) id: Option<String>,
    #[serde(default)]
    pub(super) function: Option<FunctionPiece>,
}

#[derive(Default, Deserialize)]
pub(super) struct FunctionPiece {
    #[serde(default)]
    pub(super) name: Option<String>,
    #[serde(default)]
    pub(super) arguments: Option<Box<RawValue>>,
}

#[derive(Debug, Deserialize)]
pub(super) struct RawUsage {
    #[serde(default)]
    prompt_tokens: Option<u64>,
    #[serde(default)]
    completion_tokens: Option<u64>,
    #[serde(default)]
    prompt_tokens_details: Option<InputDetails>,
    #[serde(default)]
    completion_tokens_details: Option<OutputDetails>,
}

#[derive(Debug, Deserialize)]
pub(super) struct InputDetails {
    #[serde(default)]
    cached_tokens: Option<u64>,
    #[serde(default)]
    cache_write_tokens: Option<u64>,
}

#[derive(Debug, Deserialize)]
pub(super) struct OutputDetails {
    #[serde(default)]
    reasoning_tokens: Option<u64>,
}

/// A string is a piece of JSON text; anything else is the JSON itself.
pub(super) fn arguments(raw: &RawValue) -> String {
    match serde_json::from_str::<Value>(raw.get()) {
        Ok(Value::String(text)) => text,
        Ok(Value::Null) | Err(_) => String::new(),
        Ok(_) => raw.get().to_owned(),
    }
}

/// Text comes as a string, or as a list of parts that have one.
pub(super) fn texts(value: &Value) -> Vec<&str> {
    let parts = match value {
        Value::String(text) => vec![text.as_str()],
        Value::Array(parts) => {
            parts.iter().filter_map(|part| part.get("text").and_then(Value::as_str)).collect()
        }
        _ => Vec::new(),
    };
    parts.into_iter().filter(|text| !text.is_empty()).collect()
}

impl RawUsage {
    /// `prompt_tokens` includes what the cache read and wrote.
    pub(super) fn normalised(&self) -> Usage {
        let details = self.prompt_tokens_details.as_ref();
        let cache_read = details.and_then(|details| details.cached_tokens).unwrap_or(0);
        let written = details.and_then(|details| details.cache_write_tokens).unwrap_or(0);
        let input = self.prompt_tokens.unwrap_or(0);
        let reasoning = self.completion_tokens_details.as_ref();
        Usage {
            input_uncached: input.saturating_sub(cache_read).saturating_sub(written),
            cache_read,
            cache_write_short: written,
            cache_write_long: 0,
            output: self.completion_tokens.unwrap_or(0),
            reasoning: reasoning.and_then(|details| details.reasoning_tokens).unwrap_or(0),
        }
    }
}
