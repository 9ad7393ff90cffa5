//! What the disk under the data directory can do: appends of 4 KiB, each followed by fdatasync.

use crate::clock::{millis, now_ns};
use anyhow::{Context as _, Result};
use serde::Serialize;
use std::fs::File;
use std::io::Write as _;
use std::path::Path;

const WRITES: usize = 300;
const BYTES: usize = 4096;
const LARGE_WRITES: usize = 32;
const LARGE_BYTES: usize = 4 << 20;

/// How long an append and its fsync take, in milliseconds.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Fsync {
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
}

impl Fsync {
    /// The percentiles of measured times.
    pub(crate) fn of(mut taken: Vec<u64>) -> Self {
        taken.sort_unstable();
        Self { p50_ms: millis(percentile(&taken, 50)), p99_ms: millis(percentile(&taken, 99)) }
    }
}

/// Measures in a directory.
pub(crate) fn fsync(directory: &Path) -> Result<Fsync> {
    fsyncs(directory).map(Fsync::of)
}

/// How long each of some appends took, in nanoseconds; the file is gone afterwards.
pub(crate) fn fsyncs(directory: &Path) -> Result<Vec<u64>> {
    let path = directory.join("fsync-probe");
    let mut file =
        File::create(&path).with_context(|| format!("cannot write `{}`", path.display()))?;
    let block = [7_u8; BYTES];
    let mut taken = Vec::with_capacity(WRITES);
    for _ in 0..WRITES {
        let start = now_ns();
        file.write_all(&block)?;
        file.sync_data()?;
        taken.push(now_ns() - start);
    }
    std::fs::remove_file(path)?;
    Ok(taken)
}

/// How fast large writes become durable, in megabytes a second.
#[expect(clippy::cast_precision_loss, reason = "a few megabytes")]
pub(crate) fn megabytes_per_second(directory: &Path) -> Result<f64> {
    let path = directory.join("write-probe");
    let mut file = File::create(&path)?;
    let block = vec![7_u8; LARGE_BYTES];
    let start = now_ns();
    for _ in 0..LARGE_WRITES {
        file.write_all(&block)?;
        file.sync_data()?;
    }
    let seconds = (now_ns() - start) as f64 / 1e9;
    std::fs::remove_file(path)?;
    Ok((LARGE_WRITES * LARGE_BYTES) as f64 / 1e6 / seconds)
}

/// A percentile of sorted values.
pub(crate) fn percentile(sorted: &[u64], percent: usize) -> u64 {
    let at = (sorted.len() * percent / 100).min(sorted.len().saturating_sub(1));
    sorted.get(at).copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_were_seen() {
        let hundred: Vec<u64> = (1..=100).collect();
        assert_eq!(percentile(&hundred, 50), 51);
        assert_eq!(percentile(&hundred, 99), 100);
        assert_eq!(percentile(&[5], 99), 5);
        assert_eq!(percentile(&[], 50), 0);
    }
}
