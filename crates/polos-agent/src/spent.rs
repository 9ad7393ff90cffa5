//! What a run has spent so far, and whether a limit is reached. All of it is added up from recorded
//! replies, so a replay comes to the same sums.

use polos_llm::{Prices, Response, Usage};

use crate::agent::{Agent, Limits};

/// What was spent.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Spent {
    pub(crate) turns: u32,
    pub(crate) usage: Usage,
    pub(crate) cost_micros: u64,
    /// True if some reply's price is not known: the cost is then a lower bound.
    pub(crate) has_unknown_price: bool,
}

impl Spent {
    /// Adds a reply.
    pub(crate) fn add(&mut self, response: &Response, cost_micros: Option<u64>) {
        self.turns += 1;
        self.usage += response.usage;
        match cost_micros {
            Some(micros) => self.cost_micros = self.cost_micros.saturating_add(micros),
            None => self.has_unknown_price = true,
        }
    }

    /// What it cost, if that is known.
    pub(crate) fn cost(&self) -> Option<u64> {
        (!self.has_unknown_price).then_some(self.cost_micros)
    }

    /// Which limit is reached before a further reply; `elapsed_ms` is by the journal's clock.
    pub(crate) fn reached(&self, agent: &Agent, elapsed_ms: u64) -> Option<String> {
        let Limits { tokens, dollars, seconds, .. } = agent.limits;
        let turns_max = agent.turns_max();
        if self.turns >= turns_max {
            return Some(format!("it has taken {turns_max} turns (`limits.turns`)"));
        }
        if let Some(max) = tokens.filter(|max| self.usage.total() >= *max) {
            let used = self.usage.total();
            return Some(format!("it has used {used} of {max} tokens (`limits.tokens`)"));
        }
        if let Some(max) = dollars.filter(|max| dollars_of(self.cost_micros) >= *max) {
            let spent = dollars_of(self.cost_micros);
            return Some(format!("it has spent ${spent:.2} of ${max:.2} (`limits.dollars`)"));
        }
        if dollars.is_some() && self.has_unknown_price {
            let why = "the model's price is not known, so `limits.dollars` cannot be kept";
            return Some(why.to_owned());
        }
        let elapsed = elapsed_ms / 1_000;
        let max = seconds.filter(|max| elapsed >= *max)?;
        Some(format!("it has worked {elapsed} of {max} seconds (`limits.seconds`)"))
    }
}

#[expect(clippy::cast_precision_loss, reason = "amounts are far below 2^53 micro-dollars")]
fn dollars_of(micros: u64) -> f64 {
    micros as f64 / 1_000_000.0
}

/// What a reply cost, in millionths of a dollar; `asked` is the model that was asked for, which the
/// table may know where it does not know the exact name that answered.
pub(crate) fn cost_of(prices: &Prices, response: &Response, asked: &str) -> Option<u64> {
    if !response.usage_reported {
        return None;
    }
    let cost = prices.cost(&response.usage, &response.model);
    cost.or_else(|| prices.cost(&response.usage, asked)).map(|cost| cost.micros)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reached(change: impl FnOnce(&mut Spent, &mut Agent), elapsed_ms: u64) -> String {
        let (mut spent, mut agent) = (Spent::default(), Agent::new("a"));
        change(&mut spent, &mut agent);
        spent.reached(&agent, elapsed_ms).unwrap_or_default()
    }

    #[test]
    fn each_limit_is_named_when_it_is_reached() {
        assert_eq!(reached(|_, _| {}, 1_000_000), "");
        let said = reached(|spent, _| spent.turns = 50, 0);
        assert_eq!(said, "it has taken 50 turns (`limits.turns`)");
        let said = reached(
            |spent, agent| {
                spent.usage.output = 10;
                agent.limits.tokens = Some(10);
            },
            0,
        );
        assert_eq!(said, "it has used 10 of 10 tokens (`limits.tokens`)");
        let said = reached(
            |spent, agent| {
                spent.cost_micros = 2_500_000;
                agent.limits.dollars = Some(2.0);
            },
            0,
        );
        assert_eq!(said, "it has spent $2.50 of $2.00 (`limits.dollars`)");
        let said = reached(|_, agent| agent.limits.seconds = Some(5), 5_000);
        assert_eq!(said, "it has worked 5 of 5 seconds (`limits.seconds`)");
        let said = reached(
            |spent, agent| {
                spent.has_unknown_price = true;
                agent.limits.dollars = Some(1.0);
            },
            0,
        );
        assert!(said.contains("price is not known"), "{said}");
    }
}
