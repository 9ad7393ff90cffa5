//! What the simulated runs do: a random program, as data in the run's input, interpreted by one
//! workflow on the real SDK.

#![expect(clippy::cast_possible_truncation, reason = "the numbers are small")]

use super::random::Random;
use super::world::World;
use futures_util::future::BoxFuture;
use polos_protocol::Value;
use polos_protocol::record::RunOptions;
use polos_sdk::replay::Workflow;
use polos_sdk::{Approval, Ctx, Error, Retry, StepError, Verdict};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;

/// One thing to do.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) enum Op {
    /// A repeatable step whose first attempts fail.
    Step { fails: u32 },
    /// A step that must not act twice; its arguments depend on time, chance and all that came.
    Once,
    /// A pause.
    Sleep(u64),
    /// The next event on a topic, perhaps with a time limit.
    Event { topic: u8, timeout_ms: Option<u64> },
    /// A signal to this run.
    Signal,
    /// An event on a topic.
    Publish(u8),
    /// A question to a person.
    Ask,
    /// A child run, perhaps in a queue, under a concurrency key.
    Child { ops: Vec<Self>, queue: Option<(String, String)> },
    /// Branches, all of them.
    All(Vec<Vec<Self>>),
    /// Branches, the first that ends.
    Race(Vec<Vec<Self>>),
    /// A step that only the second build has, for runs that were not past it.
    Inserted,
}

/// The workflow's name.
pub(super) const NAME: &str = "program";
/// The queue that lets few runs go at once.
pub(super) const NARROW: &str = "narrow";
/// The queue whose runs keep their slots while they wait.
pub(super) const KEEPS: &str = "keeps";
/// How many topics there are.
pub(super) const TOPICS: u64 = 3;

/// How long a repeatable step may take.
const STEP_LIMIT: Duration = Duration::from_secs(4);

/// Draws a program.
pub(super) fn draw(random: &mut Random, depth: u32) -> Vec<Op> {
    let count = if depth == 0 { random.between(2, 6) } else { random.between(1, 3) };
    (0..count).map(|_| draw_one(random, depth)).collect()
}

fn draw_one(random: &mut Random, depth: u32) -> Op {
    let branches =
        |random: &mut Random| (0..random.between(2, 3)).map(|_| draw(random, depth + 1)).collect();
    match random.below(if depth < 2 { 20 } else { 14 }) {
        0..=3 => {
            Op::Step { fails: if random.chance(200) { random.between(1, 2) as u32 } else { 0 } }
        }
        4..=6 => Op::Once,
        7 => Op::Sleep(random.between(1, 20_000)),
        8 => Op::Event { topic: random.below(TOPICS) as u8, timeout_ms: None },
        9 => Op::Event {
            topic: random.below(TOPICS) as u8,
            timeout_ms: Some(random.between(10, 5_000)),
        },
        10 => Op::Signal,
        11 => Op::Publish(random.below(TOPICS) as u8),
        12 => Op::Ask,
        13 => Op::Inserted,
        14..=16 => Op::All(branches(random)),
        17 | 18 => Op::Race(branches(random)),
        _ => {
            let ops = draw(random, depth + 1);
            let queue = random.chance(500).then(|| draw_queue(random));
            Op::Child { ops, queue }
        }
    }
}

/// A queue, and a key within it.
pub(super) fn draw_queue(random: &mut Random) -> (String, String) {
    let queue = if random.chance(500) { NARROW } else { KEEPS };
    (queue.to_owned(), format!("key-{}", random.below(3)))
}

/// The workflow that does what its input says.
#[derive(Debug)]
pub(super) struct Program {
    /// The world outside, where effects are counted.
    pub(super) world: Arc<World>,
    /// Which build of the code this is: 1 or 2.
    pub(super) build: u32,
}

impl Workflow for Program {
    fn call(&self, ctx: Ctx, input: Value) -> BoxFuture<'static, Result<Value, Error>> {
        let (world, build) = (self.world.clone(), self.build);
        Box::pin(async move {
            let ops: Vec<Op> = input.parse().map_err(Error::msg)?;
            let seen = perform(ctx, world, build, ops).await?;
            Value::from_serialize(&seen).map_err(Error::msg)
        })
    }
}

/// Does the operations one after the other, and says what it saw.
fn perform(
    ctx: Ctx,
    world: Arc<World>,
    build: u32,
    ops: Vec<Op>,
) -> BoxFuture<'static, Result<Vec<String>, Error>> {
    Box::pin(async move {
        let mut seen = Vec::new();
        for op in ops {
            let what = one(&ctx, &world, build, op, &seen).await?;
            seen.push(what);
        }
        Ok(seen)
    })
}

async fn one(
    ctx: &Ctx,
    world: &Arc<World>,
    build: u32,
    op: Op,
    seen: &[String],
) -> Result<String, Error> {
    match op {
        Op::Step { fails } => repeatable(ctx, world, "step", fails).await,
        Op::Once => once(ctx, world, seen).await,
        Op::Sleep(ms) => {
            ctx.sleep(Duration::from_millis(ms)).await?;
            Ok(ctx.now().to_string())
        }
        Op::Event { topic, timeout_ms } => event(ctx, topic, timeout_ms).await,
        Op::Signal => Ok(ctx.signal::<u64>("go").await?.payload.to_string()),
        Op::Publish(topic) => {
            ctx.publish(format!("topic-{topic}"), &7).await?;
            Ok("published".to_owned())
        }
        Op::Ask => {
            let answer =
                ctx.ask("ask", Approval { title: "May it?".into(), ..Approval::default() }).await?;
            Ok(answer.approved.to_string())
        }
        Op::Child { ops, queue } => child(ctx, &ops, queue).await,
        Op::All(branches) => {
            let branches: Vec<_> = branches
                .into_iter()
                .enumerate()
                .map(|(i, ops)| {
                    ctx.branch(i.to_string(), perform(ctx.clone(), world.clone(), build, ops))
                })
                .collect();
            Ok(format!("{:?}", ctx.all(branches).await?))
        }
        Op::Race(branches) => {
            let branches: Vec<_> = branches
                .into_iter()
                .enumerate()
                .map(|(i, ops)| {
                    ctx.branch(i.to_string(), perform(ctx.clone(), world.clone(), build, ops))
                })
                .collect();
            Ok(format!("{:?}", ctx.race(branches).await?))
        }
        Op::Inserted if build > 1 && ctx.patched("inserted") => {
            repeatable(ctx, world, "inserted", 0).await.map(|_| "inserted".to_owned())
        }
        Op::Inserted => Ok("inserted".to_owned()),
    }
}

/// A step that may act again; its first attempts fail.
async fn repeatable(
    ctx: &Ctx,
    world: &Arc<World>,
    name: &str,
    fails: u32,
) -> Result<String, Error> {
    let world = world.clone();
    ctx.step_with(name, move |step| {
        let world = world.clone();
        async move {
            let value = world.act(&step, false).await;
            if step.attempt() <= fails { Err(StepError::retryable("not yet")) } else { Ok(value) }
        }
    })
    .retry(Retry { attempts: 50, ..Retry::default() })
    .timeout(STEP_LIMIT)
    .await
}

async fn child(ctx: &Ctx, ops: &[Op], queue: Option<(String, String)>) -> Result<String, Error> {
    let mut options = RunOptions::default();
    if let Some((queue, key)) = queue {
        options.queue = Some(queue);
        options.concurrency_key = Some(key);
    }
    let child = ctx.call::<Vec<String>>(NAME, ops).options(options);
    Ok(format!("{:?}", child.await?))
}

async fn once(ctx: &Ctx, world: &Arc<World>, seen: &[String]) -> Result<String, Error> {
    let (doing, asking) = (world.clone(), world.clone());
    let args = (ctx.now(), ctx.uuid(), ctx.random(), seen);
    ctx.step_with("once", move |step| {
        let world = doing.clone();
        async move { Ok(world.act(&step, true).await) }
    })
    .once()
    .args(&args)
    .timeout(Duration::from_secs(2))
    .verify(move |step| {
        let world = asking.clone();
        async move {
            Ok(match world.look(&step).await {
                Some(Some(value)) => Verdict::Done(value),
                Some(None) => Verdict::NotDone,
                None => Verdict::Unknown,
            })
        }
    })
    .await
}

async fn event(ctx: &Ctx, topic: u8, timeout_ms: Option<u64>) -> Result<String, Error> {
    let wait = ctx.event::<u64>(format!("topic-{topic}"));
    let wait = match timeout_ms {
        Some(ms) => wait.timeout(Duration::from_millis(ms)),
        None => wait,
    };
    match wait.await {
        Ok(event) => Ok(format!("{}:{}", event.position, event.payload)),
        Err(error) if error.is_timeout() => Ok("timeout".to_owned()),
        Err(error) => Err(error),
    }
}
