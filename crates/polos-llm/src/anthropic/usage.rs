//! Anthropic's counts of tokens, and ours.

use serde::Deserialize;

use crate::response::Usage;

#[derive(Debug, Default, Deserialize)]
pub(super) struct RawUsage {
    input_tokens: Option<u64>,
    output_tokens: Option<u64>,
    cache_read_input_tokens: Option<u64>,
    cache_creation_input_tokens: Option<u64>,
    cache_creation: Option<CacheCreation>,
    output_tokens_details: Option<OutputDetails>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
struct CacheCreation {
    #[serde(default)]
    ephemeral_5m_input_tokens: u64,
    #[serde(default)]
    ephemeral_1h_input_tokens: u64,
}

#[derive(Clone, Copy, Debug, Deserialize)]
struct OutputDetails {
    #[serde(default)]
    thinking_tokens: u64,
}

impl RawUsage {
    pub(super) fn is_reported(&self) -> bool {
        self.output_tokens.is_some()
    }

    pub(super) fn replace_with(&mut self, new: &Self) {
        self.input_tokens = new.input_tokens.or(self.input_tokens);
        self.output_tokens = new.output_tokens.or(self.output_tokens);
        self.cache_read_input_tokens = new.cache_read_input_tokens.or(self.cache_read_input_tokens);
        self.cache_creation_input_tokens =
            new.cache_creation_input_tokens.or(self.cache_creation_input_tokens);
        self.cache_creation = new.cache_creation.or(self.cache_creation);
        self.output_tokens_details = new.output_tokens_details.or(self.output_tokens_details);
    }

    /// `input_tokens` leaves out what the cache read or wrote. The total of what was written may be
    /// restated without its parts; what the parts do not explain was written for the short time.
    pub(super) fn normalised(&self) -> Usage {
        let parts = self.cache_creation;
        let long = parts.map_or(0, |parts| parts.ephemeral_1h_input_tokens);
        let short = parts.map_or(0, |parts| parts.ephemeral_5m_input_tokens);
        let written = self.cache_creation_input_tokens.unwrap_or(long.saturating_add(short));
        let long = long.min(written);
        Usage {
            input_uncached: self.input_tokens.unwrap_or(0),
            cache_read: self.cache_read_input_tokens.unwrap_or(0),
            cache_write_short: written - long,
            cache_write_long: long,
            output: self.output_tokens.unwrap_or(0),
            reasoning: self.output_tokens_details.map_or(0, |details| details.thinking_tokens),
        }
    }
}
