//! What a call cost, from what the provider reported and a dated table of prices.
//!
//! A model that the table does not know has no cost; it is never guessed.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use crate::caps;
use crate::error::Error;
use crate::models::{Row, Table, table};
use crate::response::Usage;

const HINT: &str = "the form is {\"as_of\": \"2026-11-23\", \"models\": [{\"id\": \"my-model\", \
    \"input\": 1.0, \"output\": 2.0, \"cache_read\": 0.1}]}, in dollars per million tokens";

/// Is money, in millionths of a dollar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cost {
    /// What was spent.
    pub micros: u64,
    /// What the same tokens would have cost without any prompt cache.
    pub micros_uncached: u64,
}

/// Is a table of prices.
#[derive(Clone, Debug)]
pub struct Prices {
    table: Table,
}

impl Default for Prices {
    fn default() -> Self {
        Self { table: table().clone() }
    }
}

impl Prices {
    /// Returns the table that came with this crate.
    pub fn builtin() -> Self {
        Self::default()
    }

    /// Puts a user's own prices (JSON in the form of `data/models.json`) before ours.
    pub fn with_overrides(mut self, json: &str) -> Result<Self, Error> {
        let own = Table::parse(json)
            .map_err(|error| Error::config(format!("the prices cannot be read: {error}"), HINT))?;
        self.table.override_with(own);
        Ok(self)
    }

    /// Reads a user's own prices from a file.
    pub fn with_override_file(self, path: &Path) -> Result<Self, Error> {
        let mut text = String::new();
        File::open(path)
            .and_then(|file| file.take(caps::PRICES_BYTES_MAX).read_to_string(&mut text))
            .map_err(|error| {
                let path = path.display();
                Error::config(format!("cannot read prices `{path}`: {error}"), HINT)
            })?;
        self.with_overrides(&text)
    }

    /// Returns the day the prices are from, as they say.
    pub fn as_of(&self) -> &str {
        &self.table.as_of
    }

    /// Returns what the tokens cost, or nothing for a model without a known price.
    pub fn cost(&self, usage: &Usage, model: &str) -> Option<Cost> {
        let rates = Rates::new(self.table.find(model)?, usage.input());
        Some(Cost { micros: rates.actual(usage), micros_uncached: rates.uncached(usage) })
    }
}

/// Is what a token costs, in millionths of a millionth of a dollar. Integers, so that sums over a
/// journal come out the same on every machine.
struct Rates {
    input: u64,
    cache_read: u64,
    cache_write_short: u64,
    cache_write_long: u64,
    output: u64,
}

const PICOS_PER_MICRO: u128 = 1_000_000;

impl Rates {
    fn new(row: &Row, input_tokens: u64) -> Self {
        let long = row.long_context.as_ref().filter(|long| input_tokens > long.above);
        let input = row.input * long.map_or(1.0, |long| long.input);
        let output = row.output * long.map_or(1.0, |long| long.output);
        Self {
            input: picos(input),
            cache_read: picos(input * row.cache_read),
            cache_write_short: picos(input * row.cache_write_short),
            cache_write_long: picos(input * row.cache_write_long),
            output: picos(output),
        }
    }

    fn actual(&self, usage: &Usage) -> u64 {
        micros(&[
            (usage.input_uncached, self.input),
            (usage.cache_read, self.cache_read),
            (usage.cache_write_short, self.cache_write_short),
            (usage.cache_write_long, self.cache_write_long),
            (usage.output, self.output),
        ])
    }

    fn uncached(&self, usage: &Usage) -> u64 {
        micros(&[(usage.input(), self.input), (usage.output, self.output)])
    }
}

/// Dollars per million tokens are micro-dollars per token.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a float casts to the nearest integer in range, and a negative price to nothing"
)]
fn picos(dollars_per_million: f64) -> u64 {
    (dollars_per_million * 1_000_000.0).round() as u64
}

fn micros(parts: &[(u64, u64)]) -> u64 {
    let picos: u128 =
        parts.iter().map(|&(tokens, rate)| u128::from(tokens) * u128::from(rate)).sum();
    u64::try_from((picos + PICOS_PER_MICRO / 2) / PICOS_PER_MICRO).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usage(parts: [u64; 5]) -> Usage {
        let [input_uncached, cache_read, cache_write_short, cache_write_long, output] = parts;
        Usage {
            input_uncached,
            cache_read,
            cache_write_short,
            cache_write_long,
            output,
            reasoning: 0,
        }
    }

    fn check(model: &str, parts: [u64; 5], expect: (u64, u64)) {
        let cost = Prices::builtin().cost(&usage(parts), model).unwrap();
        assert_eq!((cost.micros, cost.micros_uncached), expect, "{model} {parts:?}");
    }

    #[test]
    fn multiplies_each_kind_of_token_by_its_price() {
        check("claude-sonnet-4-6", [1_000, 0, 0, 0, 0], (3_000, 3_000));
        check("claude-sonnet-4-6", [0, 1_000, 0, 0, 0], (300, 3_000));
        check("claude-sonnet-4-6", [0, 0, 1_000, 0, 0], (3_750, 3_000));
        check("claude-sonnet-4-6", [0, 0, 0, 1_000, 0], (6_000, 3_000));
        check("claude-sonnet-4-6", [0, 0, 0, 0, 1_000], (15_000, 15_000));
        check("claude-fable-5-1", [0, 1_000, 0, 0, 0], (250, 10_000));
        check("gpt-5-nano", [1, 0, 0, 0, 1], (0, 0));
        check("gpt-5-nano", [10, 0, 0, 0, 10], (5, 5));
        check("scripted", [5_000, 0, 0, 0, 5_000], (0, 0));
    }

    #[test]
    fn long_prompts_cost_more() {
        check("gpt-6.1-sol", [272_000, 0, 0, 0, 1_000], (554_000, 554_000));
        check("gpt-6.1-sol", [272_001, 0, 0, 0, 1_000], (1_103_004, 1_103_004));
    }

    #[test]
    fn an_unknown_model_has_no_cost_until_someone_says_it() {
        let spent = usage([1_000_000, 0, 0, 0, 0]);
        assert_eq!(Prices::builtin().cost(&spent, "local"), None);
        let own = r#"{"as_of": "today", "models": [{"id": "local", "input": 0.5, "output": 1}, {"id": "gpt-5", "input": 9, "output": 9}]}"#;
        let prices = Prices::builtin().with_overrides(own).unwrap();
        assert_eq!(prices.cost(&spent, "local").unwrap().micros, 500_000);
        assert_eq!(prices.cost(&spent, "gpt-5").unwrap().micros, 9_000_000);
        assert_eq!(prices.cost(&spent, "gpt-5-mini").unwrap().micros, 250_000);
        assert_eq!(prices.as_of(), "today");
        assert!(Prices::builtin().with_overrides("{}").is_err());
    }

    #[test]
    fn absurd_counts_do_not_overflow() {
        let cost = Prices::builtin().cost(&usage([u64::MAX; 5]), "claude-opus-4").unwrap();
        assert_eq!(cost.micros, u64::MAX);
    }
}
