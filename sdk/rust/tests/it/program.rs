//! Random programs of steps, branches and races, and an interpreter that runs them on a context
//! and notes all that the code is told.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use crate::world::Chance;
use futures_util::future::BoxFuture;
use polos_sdk::{Branch, Ctx, Result, StepError, Workflow, workflow};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

#[derive(Debug, Clone)]
pub(crate) enum Node {
    Step(u64),
    Flaky(u64),
    Once(u64),
    Sleep(u64),
    Call(u64),
    Publish(u64),
    Seq(Vec<Self>),
    All(Vec<Self>),
    Race(Vec<Self>),
    Map(u64),
    Spawn(u64),
}

pub(crate) fn random(chance: &mut Chance, depth: u32) -> Node {
    let many = |chance: &mut Chance| {
        (0..=chance.below(3)).map(|_| random(chance, depth.saturating_sub(1))).collect()
    };
    let kinds = if depth == 0 { 7 } else { 12 };
    match chance.below(kinds) {
        0 | 1 => Node::Step(chance.below(3)),
        2 => Node::Flaky(chance.below(3)),
        3 => Node::Once(chance.below(3)),
        4 => Node::Sleep(chance.below(60) + 1),
        5 => Node::Call(chance.below(2)),
        6 => Node::Publish(chance.below(2)),
        7 | 8 => Node::Seq(many(chance)),
        9 => Node::All(many(chance)),
        10 => Node::Race(many(chance)),
        _ if chance.below(2) == 0 => Node::Map(chance.below(5)),
        _ => Node::Spawn(chance.below(2)),
    }
}

pub(crate) type Trace = Arc<Mutex<Vec<String>>>;

/// What no two effects share: a value that is made anew shows.
static EFFECTS: AtomicU64 = AtomicU64::new(0);

pub(crate) fn code(program: &Node, trace: &Trace) -> Arc<dyn Workflow> {
    let (program, trace) = (program.clone(), trace.clone());
    workflow(move |ctx: Ctx, (): ()| {
        let (program, trace) = (program.clone(), trace.clone());
        async move { go(ctx, program, trace).await }
    })
}

fn note(ctx: &Ctx, trace: &Trace, what: &str) {
    let line = format!("{what} now={} uuid={} random={}", ctx.now(), ctx.uuid(), ctx.random());
    trace.lock().unwrap().push(line);
}

fn go(ctx: Ctx, node: Node, trace: Trace) -> BoxFuture<'static, Result<String>> {
    Box::pin(async move {
        let said = match node {
            Node::Step(n) => {
                let run = || async { Ok(EFFECTS.fetch_add(1, Ordering::Relaxed)) };
                format!("step {}", ctx.step(format!("s{n}"), run).await?)
            }
            Node::Flaky(n) => {
                let flaky = |step: polos_sdk::StepContext| async move {
                    if step.attempt() < 3 {
                        return Err(StepError::retryable("not yet"));
                    }
                    Ok(EFFECTS.fetch_add(1, Ordering::Relaxed))
                };
                format!("flaky {}", ctx.step_with(format!("f{n}"), flaky).await?)
            }
            Node::Once(n) => {
                let run = || async { Ok(EFFECTS.fetch_add(1, Ordering::Relaxed)) };
                let settle = |_| async { Ok(polos_sdk::Verdict::Done(7_000_000)) };
                format!("once {}", ctx.step(format!("o{n}"), run).once().verify(settle).await?)
            }
            Node::Sleep(ms) => {
                ctx.sleep(Duration::from_millis(ms)).await?;
                "slept".to_owned()
            }
            Node::Call(n) => ctx.call::<String>(format!("c{n}"), &n).await?,
            Node::Publish(n) => {
                ctx.publish(format!("t{n}"), &n).await?;
                "published".to_owned()
            }
            Node::Seq(nodes) => {
                let mut said = String::new();
                for node in nodes {
                    said.push_str(&go(ctx.clone(), node, trace.clone()).await?);
                }
                said
            }
            Node::All(nodes) => ctx.all(branches(&ctx, nodes, &trace)).await?.join("+"),
            Node::Race(nodes) => {
                let (winner, said) = ctx.race(branches(&ctx, nodes, &trace)).await?;
                format!("{winner} won: {said}")
            }
            Node::Map(n) => {
                let inner = trace.clone();
                let each = move |ctx: Ctx, n: u64| go(ctx, Node::Step(n), inner.clone());
                ctx.map("map", 0..n, each).concurrency(2).await?.join("|")
            }
            Node::Spawn(n) => {
                let child = ctx.spawn::<String>(format!("p{n}"), &n).await?;
                let run = child.run();
                let step = go(ctx.clone(), Node::Step(9), trace.clone()).await?;
                format!("{run} {step} {}", child.await?)
            }
        };
        note(&ctx, &trace, &said);
        Ok(said)
    })
}

fn branches(ctx: &Ctx, nodes: Vec<Node>, trace: &Trace) -> Vec<Branch<String>> {
    let branch = |(i, node): (usize, Node)| {
        ctx.branch(format!("b{i}"), go(ctx.clone(), node, trace.clone()))
    };
    nodes.into_iter().enumerate().map(branch).collect()
}
