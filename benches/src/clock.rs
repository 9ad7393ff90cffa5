//! One clock for all processes of this machine.

use rustix::time::{ClockId, clock_gettime};

/// Nanoseconds of the system's monotonic clock: the same in every process.
pub(crate) fn now_ns() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
    seconds * 1_000_000_000 + u64::try_from(now.tv_nsec).unwrap_or(0)
}

/// Nanoseconds as milliseconds.
#[expect(clippy::cast_precision_loss, reason = "durations here are far below 2^52 ns")]
pub(crate) fn millis(ns: u64) -> f64 {
    ns as f64 / 1e6
}
