//! What a box costs; run by hand: `cargo nextest run --release -p polos-sandbox --run-ignored only
//! --no-capture cost`.

use std::time::{Duration, Instant};

use polos_sandbox::config::Isolation;
use polos_sandbox::{Executed, Sandbox};
use polos_toolbox::message::{Connector, Pipeline, Program, ReadRequest, Stage, Word};

use crate::boxes::{Fixture, request};

const ROUNDS: usize = 100;

fn print(what: &str, mut times: Vec<Duration>) {
    times.sort();
    let at = |share: usize| times[(times.len() - 1) * share / 100].as_secs_f64() * 1e3;
    println!("{what}: p50 {:.2} ms, p99 {:.2} ms", at(50), at(99));
}

#[tokio::test]
#[ignore = "a measurement"]
async fn cost_of_a_box_and_of_a_command() {
    let (mut opens, mut stops) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS / 4 {
        let fixture = Fixture::new();
        let begun = Instant::now();
        let Some(sandbox) = fixture.open().await else { return };
        opens.push(begun.elapsed());
        let begun = Instant::now();
        sandbox.stop().await.unwrap();
        stops.push(begun.elapsed());
    }
    print("open", opens);
    print("stop", stops);
    let fixture = Fixture::new();
    let Some(sandbox) = fixture.open().await else { return };
    commands(sandbox).await;
    let mut fixture = Fixture::new();
    fixture.spec.config.local.isolation = Isolation::None;
    commands(Sandbox::open(fixture.spec.clone()).await.unwrap()).await;
}

async fn commands(sandbox: Sandbox) {
    println!("{:?}", sandbox.report());
    let (mut plans, mut shells, mut reads, mut floors) = (vec![], vec![], vec![], vec![]);
    for round in 0..ROUNDS {
        let mut exec = request(&format!("plan-{round}"), "");
        let argv = vec![Word::Literal("true".to_owned())];
        let stages = vec![Stage { argv, redirects: Vec::new() }];
        let pipelines = vec![Pipeline { after: Connector::Always, stages }];
        exec.program = Program::Plan { pipelines };
        let begun = Instant::now();
        assert!(matches!(sandbox.exec(exec, |_| {}).await.unwrap(), Executed::Ended(_)));
        plans.push(begun.elapsed());
        let begun = Instant::now();
        sandbox.exec(request(&format!("shell-{round}"), "true"), |_| {}).await.unwrap();
        shells.push(begun.elapsed());
        let begun = Instant::now();
        let read = ReadRequest { path: "file".to_owned(), ..ReadRequest::default() };
        sandbox.read(read).await.unwrap();
        reads.push(begun.elapsed());
        let begun = Instant::now();
        std::process::Command::new("/bin/true").status().unwrap();
        floors.push(begun.elapsed());
    }
    sandbox.stop().await.unwrap();
    print("exec of `true` as a plan", plans);
    print("exec of `true` by bash", shells);
    print("read of a small file", reads);
    print("plain fork and exec of `true`", floors);
}
