//! How soon runs go on after a `kill -9`.

use super::{Place, runtime};
use crate::bench::{Bench, Server, Worker};
use crate::clock::{millis, now_ns};
use crate::figure::Figure;
use crate::worker::Work;
use anyhow::{Context as _, Result, bail};
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// How many runs are under way when the kill comes.
const RUNS: usize = 20;
const ROUNDS: usize = 3;
/// Steps of 20 ms each: longer than any measurement.
const STEPS: usize = 5000;

pub(super) fn measure(place: &Place) -> Result<Vec<Figure>> {
    let mut first = Vec::new();
    let mut last = Vec::new();
    for _ in 0..ROUNDS {
        let taken = worker_killed(&place.bench()?)?;
        first.push(taken[0]);
        last.push(taken[taken.len() - 1]);
    }
    let mut served = Vec::new();
    let mut starts = Vec::new();
    for _ in 0..ROUNDS {
        let (taken, start) = server_killed(&place.bench()?)?;
        served.push(taken);
        starts.push(start);
    }
    let worst = |taken: &[u64]| millis(taken.iter().copied().max().unwrap_or(0));
    let start = worst(&starts);
    Ok(vec![
        Figure::new("worker killed, first run's next step", worst(&first), "ms")
            .detail(format!("worst of {ROUNDS} kills")),
        Figure::new("worker killed, last run's next step", worst(&last), "ms")
            .at_most(2000.0)
            .detail(format!("all {RUNS} runs on another worker; worst of {ROUNDS} kills")),
        Figure::new("server killed, first next step", worst(&served), "ms")
            .at_most(500.0 + start)
            .detail(format!("its start ({start:.0} ms) included; worst of {ROUNDS} kills")),
    ])
}

/// From the kill to the next step of each run on the other worker, sorted.
fn worker_killed(bench: &Bench) -> Result<Vec<u64>> {
    let server = bench.server()?;
    let mut doomed = bench.worker(100, 1)?;
    start(&server)?;
    all_tick(&doomed)?;
    let heir = bench.worker(100, 1)?;
    let begin = now_ns();
    doomed.process.kill()?;
    let mut taken: Vec<u64> = all_tick(&heir)?.into_values().map(|at| at - begin).collect();
    taken.sort_unstable();
    Ok(taken)
}

/// From the kill of a server that comes back at once to the first step that begins after a commit
/// of the new one; and how long its start took.
fn server_killed(bench: &Bench) -> Result<(u64, u64)> {
    let mut server = bench.server()?;
    let worker = bench.worker(100, 1)?;
    start(&server)?;
    all_tick(&worker)?;
    let begin = now_ns();
    server.process.kill()?;
    // The workers' steps end, but their successors wait for a server. What was said before or just
    // after the kill does not count.
    let back = bench.server()?;
    let answered = begin + back.start_ns;
    let end = Instant::now() + crate::bench::LIMIT;
    while Instant::now() < end {
        if let Some(at) = worker.heard("tick", Duration::from_secs(1))?
            && at > answered.min(begin + QUIET_NS)
        {
            return Ok((at - begin, back.start_ns));
        }
    }
    bail!("no step began after the server had come back")
}

/// A step that was acknowledged before the kill begins its successor well within this.
const QUIET_NS: u64 = 15_000_000;

fn start(server: &Server) -> Result<()> {
    runtime()?.block_on(async {
        for _ in 0..RUNS {
            server.client.start("ticker", &Work { steps: STEPS, bytes: 0 }).await?;
        }
        Ok(())
    })
}

/// Waits until every run has begun a step on this worker; gives when each first did.
fn all_tick(worker: &Worker) -> Result<HashMap<String, u64>> {
    let end = Instant::now() + crate::bench::LIMIT;
    let mut seen = HashMap::new();
    while seen.len() < RUNS {
        for (run, at) in worker.lines("tick") {
            seen.entry(run).or_insert(at);
        }
        if Instant::now() > end {
            return None
                .with_context(|| format!("only {} of {RUNS} runs began a step", seen.len()));
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(seen)
}
