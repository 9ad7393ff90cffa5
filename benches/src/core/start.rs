//! Start, idle memory and size.

use super::Place;
use crate::clock::millis;
use crate::figure::Figure;
use anyhow::Result;
use std::time::Duration;

const STARTS: usize = 5;

pub(super) fn measure(place: &Place) -> Result<Vec<Figure>> {
    let bench = place.bench()?;
    let first = bench.server()?;
    let fresh = millis(first.start_ns);
    // Idle: all that begins by itself has begun.
    std::thread::sleep(Duration::from_secs(1));
    let memory = first.process.memory()?;
    first.process.stop()?;
    let mut again = Vec::new();
    for _ in 0..STARTS {
        let server = bench.server()?;
        again.push(server.start_ns);
        server.process.stop()?;
    }
    again.sort_unstable();
    let median = millis(again[STARTS / 2]);
    let mut figures = vec![
        Figure::new("start to first answer", median, "ms")
            .at_most(100.0)
            .detail(format!("median of {STARTS}; {fresh:.0} ms with a new data directory")),
        Figure::new("idle memory, resident", memory.resident_mb, "MB")
            .at_most(40.0)
            .detail(format!("{:.1} MB of it anonymous", memory.anonymous_mb)),
    ];
    if let Some(polos) = &place.polos {
        let bytes = std::fs::metadata(polos)?.len();
        figures.push(Figure::new("size of the binary", megabytes(bytes), "MB"));
    }
    Ok(figures)
}

#[expect(clippy::cast_precision_loss, reason = "a file of some megabytes")]
fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}
