//! The one clock of a server: the wall clock at the start, and from there on a steady one. It never
//! goes back, and does not follow a wall clock that is set while the server runs.
//!
//! A virtual clock runs as a steady one does, and can be moved ahead besides: see the driver.

use polos_protocol::Millis;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A clock. Clones show the same time.
#[derive(Debug, Clone)]
pub struct Clock(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// The wall clock at the start.
    base_ms: Millis,
    /// The steady clock at the start.
    origin: Duration,
    /// How far the clock was moved ahead.
    skipped_ms: AtomicU64,
    skips: bool,
}

impl Clock {
    /// A clock that shows real time.
    pub fn real() -> Self {
        Self::starting_at(wall(), false)
    }

    /// A clock that begins at `base_ms` and skips ahead whenever there is nothing to do before the
    /// next timer.
    pub fn virtual_from(base_ms: Millis) -> Self {
        Self::starting_at(base_ms, true)
    }

    /// A virtual clock that begins now.
    pub fn virtual_from_now() -> Self {
        Self::virtual_from(wall())
    }

    fn starting_at(base_ms: Millis, skips: bool) -> Self {
        Self(Arc::new(Inner { base_ms, origin: steady(), skipped_ms: AtomicU64::new(0), skips }))
    }

    /// The time in milliseconds since the epoch.
    pub fn now(&self) -> Millis {
        let passed = steady().saturating_sub(self.0.origin).as_millis();
        let passed = u64::try_from(passed).unwrap_or(u64::MAX);
        self.0.base_ms + passed + self.0.skipped_ms.load(Ordering::Acquire)
    }

    /// True if the clock skips ahead.
    pub fn is_virtual(&self) -> bool {
        self.0.skips
    }

    /// Moves a virtual clock ahead to `at`; does nothing if that has passed.
    pub(crate) fn skip_to(&self, at: Millis) {
        let ahead = at.saturating_sub(self.now());
        self.0.skipped_ms.fetch_add(ahead, Ordering::AcqRel);
    }
}

fn wall() -> Millis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Time since boot. It goes on while the machine sleeps, so that timers are not late afterwards.
#[cfg(target_os = "linux")]
fn steady() -> Duration {
    let at = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    Duration::try_from(at).unwrap_or_default()
}

/// Time since the process first asked.
#[cfg(not(target_os = "linux"))]
fn steady() -> Duration {
    static START: std::sync::OnceLock<std::time::Instant> = std::sync::OnceLock::new();
    START.get_or_init(std::time::Instant::now).elapsed()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A clock whose beginning is a day from the wall clock's is one under which that has stepped.
    #[test]
    fn a_wall_clock_that_steps_by_a_day_moves_no_time() {
        const DAY_MS: Millis = 86_400_000;
        for base_ms in [wall() - DAY_MS, wall() + DAY_MS] {
            let clock = Clock::starting_at(base_ms, false);
            let passed = clock.now() - base_ms;
            assert!(passed < DAY_MS / 2, "{passed} ms");
        }
    }

    #[test]
    fn a_virtual_clock_skips_ahead_and_never_back() {
        let clock = Clock::virtual_from(1_000);
        clock.skip_to(90_000);
        assert!(clock.now() >= 90_000);
        clock.skip_to(5);
        assert!(clock.now() >= 90_000);
        assert!(clock.clone().is_virtual());
    }
}
