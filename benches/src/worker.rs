//! The worker process of a measurement. It says on standard output what happened and when, one word
//! and a time of the machine's clock a line.

use crate::clock::now_ns;
use anyhow::Result;
use polos_sdk::{Ctx, StepError, Worker};
use serde::{Deserialize, Serialize};
use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The topic for which `long` and `parked` wait.
pub(crate) const TOPIC: &str = "go";
/// How many steps of a long run are under way at once.
const WIDTH: usize = 200;

/// Work for a server
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[arg(long)]
    server: String,
    #[arg(long)]
    token: String,
    #[arg(long)]
    slots: u32,
    /// Say `done` whenever so many runs of `steps` have ended
    #[arg(long)]
    report: u64,
}

/// What a run is to do.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Work {
    pub(crate) steps: usize,
    pub(crate) bytes: usize,
}

pub(crate) fn run(args: Args) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let ended = Arc::new(AtomicU64::new(0));
        let worker = Worker::builder()
            .server(args.server)
            .token(args.token)
            .build_id("bench")
            .slots(args.slots)
            .workflow("sequence", sequence)
            .workflow("steps", move |ctx, work| steps(ctx, work, ended.clone(), args.report))
            .workflow("long", long)
            .workflow("parked", |ctx: Ctx, ()| async move {
                ctx.event::<()>(TOPIC).await?;
                Ok(())
            })
            .workflow("ticker", ticker)
            .build()?;
        let handle = worker.handle();
        tokio::spawn(async move {
            handle.connected().await;
            say("ready");
        });
        worker.run_until(polos_sdk::shutdown_signal()).await?;
        Ok(())
    })
}

/// Steps one after the other; gives how long each took, in nanoseconds.
async fn sequence(ctx: Ctx, work: Work) -> polos_sdk::Result<Vec<u64>> {
    let mut taken = Vec::with_capacity(work.steps);
    let mut last = now_ns();
    for _ in 0..work.steps {
        step(&ctx, work.bytes).await?;
        let now = now_ns();
        taken.push(now - last);
        last = now;
    }
    Ok(taken)
}

async fn steps(ctx: Ctx, work: Work, ended: Arc<AtomicU64>, report: u64) -> polos_sdk::Result<()> {
    for _ in 0..work.steps {
        step(&ctx, work.bytes).await?;
    }
    if (ended.fetch_add(1, Ordering::Relaxed) + 1).is_multiple_of(report) {
        say("done");
    }
    Ok(())
}

/// Records many steps, waits for an event, and says when the first step after it began.
async fn long(ctx: Ctx, work: Work) -> polos_sdk::Result<()> {
    let bytes = work.bytes;
    ctx.map("recorded", 0..work.steps, move |ctx, _| async move { step(&ctx, bytes).await })
        .concurrency(WIDTH)
        .await?;
    ctx.event::<()>(TOPIC).await?;
    ctx.step("first", || async {
        say("first");
        Ok(())
    })
    .await
}

/// Steps of a few milliseconds, each of which says when it begins.
async fn ticker(ctx: Ctx, work: Work) -> polos_sdk::Result<()> {
    for _ in 0..work.steps {
        ctx.step_with("tick", |step| async move {
            say(&format!("tick {}", step.run()));
            tokio::time::sleep(Duration::from_millis(20)).await;
            Ok(())
        })
        .await?;
    }
    Ok(())
}

async fn step(ctx: &Ctx, bytes: usize) -> polos_sdk::Result<String> {
    ctx.step("step", move || async move { Ok::<_, StepError>("x".repeat(bytes)) }).await
}

fn say(word: &str) {
    let mut out = std::io::stdout().lock();
    // Nobody listens any more when the measurement is over.
    let _ = writeln!(out, "{word} {}", now_ns());
    let _ = out.flush();
}
