//! What is known about models by name: a dated table, kept as data in `data/models.json`.

use std::sync::OnceLock;

use serde::Deserialize;

const TABLE: &str = include_str!("../data/models.json");
/// For a model that the table does not know: the value most models share.
const CACHE_PREFIX_MIN: u64 = 1_024;
const MAX_TOKENS: u32 = 32_000;
/// An unknown model may well be a small local one.
const MAX_TOKENS_UNKNOWN: u32 = 8_192;

/// Is what requests need to know about a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ModelFacts {
    /// Whether the table knows the model at all.
    pub is_known: bool,
    /// The shortest prefix, in tokens, that the provider caches.
    pub cache_prefix_min: u64,
    /// What stands for [`crate::Request::max_tokens`] where the provider demands a value.
    pub max_tokens: u32,
}

/// Looks a model up by its name, dates and vendor prefixes left aside.
pub fn model_facts(model: &str) -> ModelFacts {
    let row = table().find(model);
    ModelFacts {
        is_known: row.is_some(),
        cache_prefix_min: row.and_then(|row| row.cache_prefix_min).unwrap_or(CACHE_PREFIX_MIN),
        max_tokens: match row {
            Some(row) => row.max_tokens.unwrap_or(MAX_TOKENS),
            None => MAX_TOKENS_UNKNOWN,
        },
    }
}

/// Is the file as it is written.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Table {
    pub(crate) as_of: String,
    models: Vec<Row>,
}

/// Is one model of the file; dollars per million tokens, and multiples of `input`.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Row {
    id: String,
    pub(crate) input: f64,
    pub(crate) output: f64,
    #[serde(default = "one")]
    pub(crate) cache_read: f64,
    #[serde(default = "one")]
    pub(crate) cache_write_short: f64,
    #[serde(default = "one")]
    pub(crate) cache_write_long: f64,
    pub(crate) long_context: Option<LongContext>,
    cache_prefix_min: Option<u64>,
    max_tokens: Option<u32>,
}

/// Is the surcharge on requests with more than so many input tokens: multiples of the prices.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct LongContext {
    pub(crate) above: u64,
    pub(crate) input: f64,
    pub(crate) output: f64,
}

fn one() -> f64 {
    1.0
}

impl Table {
    pub(crate) fn parse(text: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(text)
    }

    /// Rows of `other` stand before ours.
    pub(crate) fn override_with(&mut self, other: Self) {
        self.as_of = other.as_of;
        self.models.splice(0..0, other.models);
    }

    pub(crate) fn find(&self, model: &str) -> Option<&Row> {
        let name = model.rsplit('/').next().unwrap_or(model);
        let row = |id: &str| self.models.iter().find(|row| row.id == id);
        row(model).or_else(|| row(name)).or_else(|| row(without_version(name)))
    }
}

/// Cuts what providers append to a model's name without making it another model:
/// `-20250929`, `-2025-08-07`, `-latest`, `-0`, `@…`.
fn without_version(name: &str) -> &str {
    let name = name.split('@').next().unwrap_or(name);
    let name = name.strip_suffix("-latest").unwrap_or(name);
    let digits = name.trim_end_matches(|c: char| c.is_ascii_digit() || c == '-');
    let tail = &name[digits.len()..];
    let dated = ["-00000000", "-0000-00-00"].into_iter().find(|form| ends_like(tail, form));
    let name = &name[..name.len() - dated.map_or(0, str::len)];
    name.strip_suffix("-0").unwrap_or(name)
}

fn ends_like(tail: &str, form: &str) -> bool {
    tail.len() >= form.len()
        && tail.bytes().rev().zip(form.bytes().rev()).all(|(byte, like)| match like {
            b'0' => byte.is_ascii_digit(),
            dash => byte == dash,
        })
}

#[expect(clippy::expect_used, reason = "the file is part of the program, and a test parses it")]
pub(crate) fn table() -> &'static Table {
    static PARSED: OnceLock<Table> = OnceLock::new();
    PARSED.get_or_init(|| Table::parse(TABLE).expect("`data/models.json` is valid"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(model: &str, expect: Option<&str>) {
        assert_eq!(table().find(model).map(|row| row.id.as_str()), expect, "{model}");
    }

    #[test]
    fn names_are_found_with_their_dates_and_only_so() {
        check("claude-sonnet-4-5", Some("claude-sonnet-4-5"));
        check("claude-sonnet-4-5-20250929", Some("claude-sonnet-4-5"));
        check("claude-sonnet-4-20250514", Some("claude-sonnet-4"));
        check("claude-opus-4-0", Some("claude-opus-4"));
        check("claude-3-5-haiku-latest", Some("claude-3-5-haiku"));
        check("anthropic/claude-opus-5@20260801", Some("claude-opus-5"));
        check("gpt-5-2025-08-07", Some("gpt-5"));
        check("gpt-5-mini", Some("gpt-5-mini"));
        check("gpt-5-turbo", None);
        check("gpt-5-20", None);
        check("llama-3", None);
        check("", None);
    }

    #[test]
    fn unknown_models_get_the_common_values() {
        let facts = model_facts("mystery");
        assert_eq!(
            (facts.is_known, facts.cache_prefix_min, facts.max_tokens),
            (false, 1_024, 8_192)
        );
        assert_eq!(model_facts("claude-opus-4-6").cache_prefix_min, 4_096);
        assert_eq!(model_facts("claude-3-5-haiku").max_tokens, 8_192);
    }

    #[test]
    fn no_model_stands_twice() {
        let mut ids: Vec<_> = table().models.iter().map(|row| &row.id).collect();
        let count = ids.len();
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), count);
    }
}
