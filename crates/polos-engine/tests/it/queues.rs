//! Queues: limits in all and per key, pause, and no slot that leaks.

use crate::rig::{Rig, hello, worker_id};
use polos_engine::{ConnectionId, Input, Request};
use polos_protocol::rest::StartRequest;
use polos_protocol::{QueueConfig, RunId};

fn limit(rig: &mut Rig, concurrency: Option<u32>, concurrency_per_key: Option<u32>) {
    let config = QueueConfig {
        name: "q".into(),
        concurrency,
        concurrency_per_key,
        ..QueueConfig::default()
    };
    rig.request(Request::PutQueue(config));
}

fn start(rig: &mut Rig, key: Option<&str>, priority: i32) -> RunId {
    let mut request = StartRequest { workflow: "w".into(), ..StartRequest::default() };
    request.options.queue = Some("q".into());
    request.options.concurrency_key = key.map(str::to_owned);
    request.options.priority = priority;
    rig.start(request)
}

#[test]
fn concurrency_is_never_exceeded_and_slots_come_back() {
    let mut rig = Rig::new();
    limit(&mut rig, Some(2), None);
    for _ in 0..5 {
        start(&mut rig, None, 0);
    }
    rig.worker(1);
    let mut running = rig.starts(1);
    assert_eq!(running.len(), 2);
    // One worker dies, and the slots of its runs are free for the next.
    rig.worker(2);
    rig.input(Input::Disconnect { connection: ConnectionId(1) });
    rig.input(Input::WorkerDead { worker: worker_id(1) });
    running = rig.starts(2);
    assert_eq!(running.len(), 2);
    rig.restart();
    rig.connect(3, hello(3, 1));
    assert!(rig.starts(3).is_empty(), "the slots are held by runs whose worker may come back");
    rig.pass(1_100);
    assert_eq!(rig.starts(3).len(), 2);
}

#[test]
fn a_key_has_its_own_limit() {
    let mut rig = Rig::new();
    limit(&mut rig, None, Some(1));
    let a = start(&mut rig, Some("a"), 0);
    let _second = start(&mut rig, Some("a"), 0);
    let b = start(&mut rig, Some("b"), 0);
    rig.worker(1);
    let started: Vec<RunId> = rig.starts(1).iter().map(|start| start.run).collect();
    assert_eq!(started, [a, b]);
}

#[test]
fn higher_priority_goes_first() {
    let mut rig = Rig::new();
    limit(&mut rig, Some(1), None);
    let _low = start(&mut rig, None, 0);
    let high = start(&mut rig, None, 9);
    rig.worker(1);
    assert_eq!(rig.take(1).0.run, high);
}

#[test]
fn a_paused_queue_starts_nothing_and_says_why() {
    let mut rig = Rig::new();
    rig.request(Request::PauseQueue("q".into(), true));
    let run = start(&mut rig, None, 0);
    rig.worker(1);
    assert!(rig.starts(1).is_empty());
    let polos_engine::Response::Why(why) = rig.request(Request::Explain(run)) else { panic!() };
    assert!(why.contains("paused"), "{why}");
    rig.request(Request::PauseQueue("q".into(), false));
    assert_eq!(rig.starts(1).len(), 1);
}

#[test]
fn a_run_without_a_worker_holds_up_no_other() {
    let mut rig = Rig::new();
    let request = StartRequest { workflow: "nobody".into(), ..StartRequest::default() };
    let lonely = rig.start(request);
    let run = rig.start_run();
    rig.worker(1);
    assert_eq!(rig.take(1).0.run, run);
    let polos_engine::Response::Why(why) = rig.request(Request::Explain(lonely)) else { panic!() };
    assert!(why.contains("none is connected"), "{why}");
}

#[test]
fn a_worker_gets_no_more_runs_than_it_has_slots() {
    let mut rig = Rig::new();
    for _ in 0..15 {
        rig.start_run();
    }
    rig.worker(1);
    let first = rig.starts(1);
    assert_eq!(first.len(), 10);
    let hands = crate::rig::Hands { run: first[0].run, assignment: 1, seq: 0, n: 0 };
    rig.complete(1, &hands);
    assert_eq!(rig.starts(1).len(), 1);
}
