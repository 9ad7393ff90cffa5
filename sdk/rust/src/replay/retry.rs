//! When and how often a failed attempt is made again.

use crate::replay::derive;

/// How often a step is tried, and how long to wait in between.
///
/// ```
/// # use polos_sdk::Retry;
/// let patient = Retry { attempts: 10, max_ms: 60_000, ..Retry::default() };
/// assert_eq!(Retry::none().attempts, 1);
/// # let _ = patient;
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Retry {
    /// How many attempts there are in all; 1 for no retry.
    pub attempts: u32,
    /// The wait after the first failed attempt, in milliseconds.
    pub initial_ms: u64,
    /// By what the wait grows after each further one.
    pub factor: f64,
    /// The longest wait, in milliseconds. A `Retry-After` hint may exceed it.
    pub max_ms: u64,
    /// The share of the wait, from 0 to 1, that is drawn (from the run's seed) instead of fixed.
    pub jitter: f64,
    /// Codes of errors that are not tried again.
    pub not_on: Vec<String>,
}

impl Default for Retry {
    /// Five attempts, half a second growing twofold up to half a minute.
    fn default() -> Self {
        Self {
            attempts: 5,
            initial_ms: 500,
            factor: 2.0,
            max_ms: 30_000,
            jitter: 0.2,
            not_on: Vec::new(),
        }
    }
}

impl Retry {
    /// One attempt only.
    pub fn none() -> Self {
        Self { attempts: 1, ..Self::default() }
    }

    /// The default waits, with another number of attempts.
    pub fn attempts(attempts: u32) -> Self {
        Self { attempts, ..Self::default() }
    }

    /// How long to wait after failed attempt `attempt` (from 1); `unit` in 0..1 decides the jitter.
    pub(crate) fn delay_ms(&self, attempt: u32, unit: f64, hint_ms: Option<u64>) -> u64 {
        let growth = self
            .factor
            .max(1.0)
            .powi(i32::try_from(attempt.saturating_sub(1)).unwrap_or(64).min(64));
        let full = derive::millis(
            (derive::float(self.initial_ms) * growth).min(derive::float(self.max_ms)),
        );
        let jitter = self.jitter.clamp(0.0, 1.0);
        let wait = derive::millis(derive::float(full) * (1.0 - jitter * unit));
        wait.max(hint_ms.unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_the_limit_and_keep_hints() {
        let retry = Retry { jitter: 0.0, ..Retry::default() };
        let waits: Vec<_> = (1..9).map(|n| retry.delay_ms(n, 0.5, None)).collect();
        assert_eq!(waits, [500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000]);
        assert_eq!(retry.delay_ms(1, 0.5, Some(90_000)), 90_000);
        assert_eq!(Retry::default().delay_ms(1, 1.0, None), 400);
    }
}
