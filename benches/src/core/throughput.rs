//! Steps a second of a thousand concurrent runs, with one worker on the socket.

use super::{Place, runtime};
use crate::bench::{Bench, Server, Worker};
use crate::clock::now_ns;
use crate::disk;
use crate::figure::Figure;
use crate::worker::Work;
use anyhow::Result;
use polos_sdk::Client;
use std::sync::Arc;

const RUNS: usize = 1000;
const STEPS: usize = 10;
/// A large value.
const LARGE_BYTES: usize = 64 << 10;
/// How many starts are under way at once.
const STARTS: usize = 32;
/// The queue of all runs that name none.
const QUEUE: &str = "default";

pub(super) fn small(place: &Place) -> Result<Vec<Figure>> {
    let figure = Figure::new("1000 runs of 10 steps, small values", 0.0, "steps/s");
    Ok(vec![measure(place, figure, 16, 5)?.at_least(40_000.0)])
}

pub(super) fn large(place: &Place) -> Result<Vec<Figure>> {
    let figure = Figure::new("1000 runs of 10 steps, 64 KB values", 0.0, "steps/s");
    let figure = measure(place, figure, LARGE_BYTES, 1)?;
    #[expect(clippy::cast_precision_loss, reason = "a few kilobytes")]
    let through = figure.value * LARGE_BYTES as f64 / 1e6;
    let disk = disk::megabytes_per_second(&place.root)?;
    let detail = format!("{through:.0} MB/s; the disk alone {disk:.0} MB/s; {}", figure.detail);
    Ok(vec![figure.detail(detail)])
}

fn measure(place: &Place, figure: Figure, bytes: usize, rounds: usize) -> Result<Figure> {
    let bench = place.bench()?;
    let server = bench.server()?;
    let worker = bench.worker(u32::try_from(RUNS)?, RUNS as u64)?;
    let work = Work { steps: STEPS, bytes };
    round(&bench, &server, &worker, work)?;
    let mut seen = Vec::new();
    for _ in 0..rounds {
        seen.push(round(&bench, &server, &worker, work)?);
    }
    seen.sort_by(|a, b| a.steps_per_second.total_cmp(&b.steps_per_second));
    let median = &seen[rounds / 2];
    let detail = format!(
        "median of {rounds}, best {:.0}; fsync {:.2} ms; processor {:.0} + {:.0} ms server + worker per 1000 steps",
        seen[rounds - 1].steps_per_second,
        median.fsync_ms,
        median.server_ms,
        median.worker_ms
    );
    Ok(Figure { value: median.steps_per_second, ..figure }.detail(detail))
}

struct Round {
    steps_per_second: f64,
    fsync_ms: f64,
    server_ms: f64,
    worker_ms: f64,
}

/// All runs are queued while the queue is paused; the time runs from its release to the last step.
fn round(bench: &Bench, server: &Server, worker: &Worker, work: Work) -> Result<Round> {
    let runtime = runtime()?;
    let client = &server.client;
    runtime.block_on(async {
        client.pause_queue(QUEUE).await?;
        start_all(client, work).await
    })?;
    let fsync_ms = disk::fsync(&bench.data())?.p50_ms;
    let before = (server.process.cpu_seconds()?, worker.process.cpu_seconds()?);
    let begin = now_ns();
    runtime.block_on(client.resume_queue(QUEUE))?;
    let end = worker.said("done")?;
    super::progress(&format!("steps from {begin} to {end} ns"));
    let after = (server.process.cpu_seconds()?, worker.process.cpu_seconds()?);
    #[expect(clippy::cast_precision_loss, reason = "seconds of a short measurement")]
    let (seconds, steps) = ((end - begin) as f64 / 1e9, (RUNS * STEPS) as f64);
    Ok(Round {
        steps_per_second: steps / seconds,
        fsync_ms,
        server_ms: (after.0 - before.0) * 1e6 / steps,
        worker_ms: (after.1 - before.1) * 1e6 / steps,
    })
}

async fn start_all(client: &Client, work: Work) -> Result<()> {
    let places = Arc::new(tokio::sync::Semaphore::new(STARTS));
    let mut starting = tokio::task::JoinSet::new();
    for _ in 0..RUNS {
        let place = places.clone().acquire_owned().await?;
        let client = client.clone();
        starting.spawn(async move {
            let _place = place;
            client.start("steps", &work).await.map(|_| ())
        });
    }
    while let Some(started) = starting.join_next().await {
        started??;
    }
    Ok(())
}
