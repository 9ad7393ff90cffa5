//! The latency of one durable step, when nothing else runs.

use super::{Place, runtime};
use crate::clock::millis;
use crate::disk::{self, Fsync, percentile};
use crate::figure::Figure;
use crate::worker::Work;
use anyhow::{Context as _, Result};

const WARM_STEPS: usize = 200;
const STEPS: usize = 400;
/// How often: the disk's own pace changes from minute to minute, so it is measured before each.
const ROUNDS: usize = 6;
/// What a step may cost beyond its fsync, in milliseconds.
const OVERHEAD_MS: f64 = 0.25;

pub(super) fn measure(place: &Place) -> Result<Vec<Figure>> {
    let bench = place.bench()?;
    let server = bench.server()?;
    let worker = bench.worker(10, 1)?;
    let runtime = runtime()?;
    let sequence = |steps| {
        runtime.block_on(async {
            let run = server.client.start("sequence", &Work { steps, bytes: 16 }).await?;
            let result = server.client.wait(run.id).await?;
            let output = result.output.context("the run gave nothing")?;
            let text = serde_json::to_string(&output)?;
            Ok::<Vec<u64>, anyhow::Error>(serde_json::from_str(&text)?)
        })
    };
    sequence(WARM_STEPS)?;
    let used =
        || Ok::<_, anyhow::Error>((server.process.cpu_seconds()?, worker.process.cpu_seconds()?));
    let before = used()?;
    let (mut taken, mut synced) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        synced.extend(disk::fsyncs(&bench.data())?);
        taken.extend(sequence(STEPS)?);
    }
    let after = used()?;
    let fsync = Fsync::of(synced);
    taken.sort_unstable();
    let (p50, p99) = (millis(percentile(&taken, 50)), millis(percentile(&taken, 99)));
    #[expect(clippy::cast_precision_loss, reason = "a few thousand steps")]
    let thousands = (ROUNDS * STEPS) as f64 / 1000.0;
    Ok(vec![
        Figure::new("one durable step, median", p50, "ms")
            .at_most(fsync.p50_ms + OVERHEAD_MS)
            .detail(format!(
                "{ROUNDS} x {STEPS} in a row; fsync {:.2} ms; processor {:.2} s server + {:.2} s worker per 1000 steps",
                fsync.p50_ms,
                (after.0 - before.0) / thousands,
                (after.1 - before.1) / thousands
            )),
        Figure::new("one durable step, p99", p99, "ms")
            .detail(format!("fsync p99 {:.2} ms", fsync.p99_ms)),
    ])
}
