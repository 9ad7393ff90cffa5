//! How long a run with a long journal takes to reach its first new step.

use super::{Place, runtime};
use crate::clock::{millis, now_ns};
use crate::figure::Figure;
use crate::worker::{TOPIC, Work};
use anyhow::{Result, bail};
use polos_protocol::rest::PublishRequest;
use polos_protocol::{RunId, State};
use polos_sdk::Client;
use std::time::{Duration, Instant};

const STEPS: usize = 10_000;
const RUNS: usize = 3;

pub(super) fn measure(place: &Place) -> Result<Vec<Figure>> {
    let bench = place.bench()?;
    let server = bench.server()?;
    let runtime = runtime()?;
    let mut taken = Vec::new();
    for _ in 0..RUNS {
        let worker = bench.worker(10, 1)?;
        runtime.block_on(async {
            let run = server.client.start("long", &Work { steps: STEPS, bytes: 16 }).await?;
            waiting(&server.client, run.id).await
        })?;
        // A worker that has never seen the run takes it.
        worker.process.stop()?;
        let fresh = bench.worker(10, 1)?;
        let begin = now_ns();
        let event = PublishRequest { topic: TOPIC.to_owned(), ..PublishRequest::default() };
        runtime.block_on(server.client.publish(&event))?;
        let end = fresh.said("first")?;
        super::progress(&format!("replay from {begin} to {end} ns"));
        taken.push(end - begin);
        fresh.process.stop()?;
    }
    taken.sort_unstable();
    let median = millis(taken[taken.len() / 2]);
    Ok(vec![
        Figure::new("10000 recorded steps to the first new one", median, "ms")
            .at_most(50.0)
            .detail(format!(
                "from the event, fsync included; median of {}, worst {:.0} ms",
                taken.len(),
                millis(taken[taken.len() - 1])
            )),
    ])
}

/// Waits until a run is parked.
pub(super) async fn waiting(client: &Client, run: RunId) -> Result<()> {
    let begin = Instant::now();
    loop {
        let detail = client.run(run).await?;
        match detail.summary.state {
            State::Waiting => return Ok(()),
            state if state.is_ended() || state == State::Blocked => {
                bail!("the run is {state:?}: {detail:?}")
            }
            _ if begin.elapsed() > crate::bench::LIMIT => bail!("the run did not park in time"),
            _ => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
}
