//! The server's time, by this machine's steady clock, and the lease. The clock goes on while the
//! machine sleeps: a worker that wakes must not believe in a lease that ended meanwhile.

use polos_protocol::Millis;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Shared by the connection and the runs.
#[derive(Debug)]
pub(crate) struct Clock {
    base: Duration,
    /// The server's time at `base`; before the first `welcome` this machine's.
    base_ms: AtomicU64,
    /// When the lease ends, in milliseconds after `base`.
    lease_end: AtomicU64,
    /// The lease was lost and no `welcome` has come since.
    lost: AtomicBool,
}

impl Clock {
    pub(crate) fn new() -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self {
            base: steady(),
            base_ms: AtomicU64::new(millis(now)),
            lease_end: AtomicU64::new(0),
            lost: AtomicBool::new(false),
        }
    }

    fn elapsed(&self) -> u64 {
        millis(steady().saturating_sub(self.base))
    }

    /// The server's time.
    pub(crate) fn now(&self) -> Millis {
        self.base_ms.load(Ordering::Relaxed) + self.elapsed()
    }

    /// The server has said what time it is.
    pub(crate) fn set(&self, server: Millis) {
        self.base_ms.store(server.saturating_sub(self.elapsed()), Ordering::Relaxed);
    }

    /// The server's time is surely not before this.
    pub(crate) fn at_least(&self, server: Millis) {
        if server > self.now() {
            self.set(server);
        }
    }

    /// How long to wait until a time of the server.
    pub(crate) fn until(&self, at: Millis) -> Duration {
        Duration::from_millis(at.saturating_sub(self.now()))
    }

    /// The server has been heard.
    pub(crate) fn heard(&self, lease_ms: u64) {
        self.lease_end.store(self.elapsed() + lease_ms, Ordering::Release);
    }

    /// `welcome` has come: the lease begins anew.
    pub(crate) fn welcomed(&self, lease_ms: u64) {
        self.heard(lease_ms);
        self.lost.store(false, Ordering::Release);
    }

    /// True while effects may begin. Once lost, only a `welcome` brings it back.
    pub(crate) fn is_leased(&self) -> bool {
        if self.elapsed() >= self.lease_end.load(Ordering::Acquire) {
            self.lost.store(true, Ordering::Release);
        }
        !self.lost.load(Ordering::Acquire)
    }

    /// How long the lease still lasts.
    pub(crate) fn lease_left(&self) -> Duration {
        Duration::from_millis(self.lease_end.load(Ordering::Acquire).saturating_sub(self.elapsed()))
    }
}

/// Time since boot, sleep included.
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

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
