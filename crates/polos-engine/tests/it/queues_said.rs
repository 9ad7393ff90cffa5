//! What queued runs are said to wait for: their places, and what would let them go on.

use crate::rig::{Rig, hello};
use polos_engine::{Request, Response};
use polos_protocol::rest::StartRequest;
use polos_protocol::{Definition, Namespace, QueueConfig, RunId};
use polos_store::Read as _;
use polos_store::read::ReadyRun;

fn start(rig: &mut Rig, workflow: &str, change: impl FnOnce(&mut StartRequest)) -> RunId {
    let mut request = StartRequest { workflow: workflow.into(), ..StartRequest::default() };
    request.options.queue = Some("q".into());
    change(&mut request);
    rig.start(request)
}

fn limit(rig: &mut Rig, concurrency: Option<u32>, concurrency_per_key: Option<u32>) {
    let config = QueueConfig {
        name: "q".into(),
        concurrency,
        concurrency_per_key,
        ..QueueConfig::default()
    };
    rig.request(Request::PutQueue(config));
}

/// What is said of these runs in one answer; the answer for one run alone must be the same.
fn said(rig: &mut Rig, runs: &[RunId]) -> Vec<String> {
    let namespace = Namespace::default();
    let row = |run: &RunId| ReadyRun::of(&rig.store.run(&namespace, *run).unwrap().unwrap());
    let rows = runs.iter().map(row).collect();
    let Response::Whys(whys) = rig.request(Request::ExplainQueued(rows)) else { unreachable!() };
    let all = runs.iter().map(|run| whys.get(run).cloned().unwrap_or_default()).collect();
    for (run, why) in whys {
        let Response::Why(alone) = rig.request(Request::Explain(run)) else { unreachable!() };
        assert_eq!(alone, why);
    }
    all
}

#[test]
fn places_are_counted_over_all_lanes_of_the_queue() {
    let mut rig = Rig::new();
    let low = start(&mut rig, "a", |_| {});
    let keyed = start(&mut rig, "a", |r| r.options.concurrency_key = Some("k".into()));
    let other = start(&mut rig, "b", |_| {});
    let high = start(&mut rig, "b", |r| r.options.priority = 9);
    let none = |workflow| format!("waits for a worker that has `{workflow}`: none is connected");
    let expect = [
        format!("{}; 1 ahead of it in queue `q`", none("a")),
        format!("{}; 2 ahead of it in queue `q`", none("a")),
        format!("{}; 3 ahead of it in queue `q`", none("b")),
        format!("{}; first in queue `q`", none("b")),
    ];
    assert_eq!(said(&mut rig, &[low, keyed, other, high]), expect);
    assert_eq!(said(&mut rig, &[other]), [expect[2].clone()], "whatever else is on the page");
}

#[test]
fn a_full_key_and_a_full_queue_are_told_apart() {
    let mut rig = Rig::new();
    limit(&mut rig, Some(2), Some(1));
    rig.worker(1);
    let key = |name: &'static str| {
        move |request: &mut StartRequest| request.options.concurrency_key = Some(name.into())
    };
    let running = start(&mut rig, "w", key("a"));
    let of_key = start(&mut rig, "w", key("a"));
    assert_eq!(
        said(&mut rig, &[running, of_key]),
        ["", "waits for a slot of key `a`: the only one is taken; first in queue `q`"],
        "one that has left the queue is left out",
    );
    start(&mut rig, "w", key("b"));
    let of_all = start(&mut rig, "w", key("c"));
    assert_eq!(
        said(&mut rig, &[of_all]),
        ["waits for a slot of the queue: all 2 are taken; 1 ahead of it in queue `q`"],
    );
}

#[test]
fn the_worker_that_is_missing_is_described() {
    let mut rig = Rig::new();
    let mut greeting = hello(1, 1);
    greeting.slots = 1;
    greeting.definitions.push(Definition { name: "v".into(), ..Definition::default() });
    rig.connect(1, greeting);
    let (_, hands) = {
        start(&mut rig, "w", |_| {});
        rig.take(1)
    };
    let waiting = start(&mut rig, "v", |_| {});
    assert_eq!(
        said(&mut rig, &[waiting]),
        ["waits for a free slot on a worker that has `v`; first in queue `q`"],
    );
    rig.request(Request::DrainWorker(crate::rig::worker_id(1)));
    assert_eq!(
        said(&mut rig, &[waiting]),
        ["waits for a worker that has `v`: those there drain; first in queue `q`"],
    );
    rig.complete(1, &hands);
    assert!(rig.starts(1).is_empty());
}

#[test]
fn another_namespace_is_told_nothing() {
    let mut rig = Rig::new();
    let run = start(&mut rig, "w", |_| {});
    let mut row = ReadyRun::of(&rig.store.run(&Namespace::default(), run).unwrap().unwrap());
    row.namespace = "other".parse().unwrap();
    let Response::Whys(whys) = rig.request(Request::ExplainQueued(vec![row])) else { panic!() };
    assert!(whys.is_empty());
}
