//! Who has a run: fences, re-attachment, grace, lease, deaths and poison.

use crate::rig::{Hands, Rig, hello, key, reference, worker_id};
use polos_engine::{ConnectionId, Input, Output};
use polos_protocol::State;
use polos_protocol::frame::{
    FromServer, FromWorker, Held, Lost, Previous, RecordRequest, RunRecords,
};
use polos_protocol::record::{Kind, NewRecord};

fn die(rig: &mut Rig, worker: u64) {
    rig.input(Input::Disconnect { connection: ConnectionId(worker) });
    rig.input(Input::WorkerDead { worker: worker_id(worker) });
}

#[test]
fn a_dead_workers_run_goes_elsewhere_at_once_and_the_old_hands_are_refused() {
    let mut rig = Rig::new();
    let run = rig.start_run();
    rig.worker(1);
    let (_, mut old) = rig.take(1);
    rig.step(1, &mut old, "a");
    rig.worker(2);
    die(&mut rig, 1);
    let (start, mut new) = rig.take(2);
    assert_eq!((start.assignment, start.journal.len()), (2, 1));
    assert!(start.previous.unwrap().dead);
    // The zombie comes back on a new connection and still speaks of its assignment.
    rig.connect(3, hello(1, 2));
    rig.step(3, &mut old, "zombie");
    assert!(
        rig.frames(3)
            .iter()
            .any(|frame| matches!(frame, FromServer::Revoked(r) if r.code == "stale"))
    );
    rig.step(2, &mut new, "b");
    assert_eq!(rig.journal(run), ["step a", "step b"]);
}

#[test]
fn a_worker_that_comes_back_in_its_grace_keeps_its_runs_without_replay() {
    let mut rig = Rig::new();
    let run = rig.start_run();
    rig.worker(1);
    let (_, mut hands) = rig.take(1);
    rig.step(1, &mut hands, "a");
    rig.input(Input::Disconnect { connection: ConnectionId(1) });
    rig.pass(500);
    let mut again = hello(1, 2);
    again.held = vec![Held { run, assignment: 1, seq: hands.seq, wait: None }];
    rig.connect(9, again);
    let frames = rig.frames(9);
    let [FromServer::Welcome(welcome)] = &frames[..] else { panic!("{frames:?}") };
    assert_eq!((welcome.kept[0].run, welcome.kept[0].n), (run, 1));
    rig.step(9, &mut hands, "b");
    rig.complete(9, &hands);
    assert_eq!(rig.state(run), State::Completed);
    assert_eq!(rig.run(run).status.assignment, 1);
}

#[test]
fn it_loses_them_after_the_grace() {
    let mut rig = Rig::new();
    rig.start_run();
    rig.worker(1);
    let (_, _hands) = rig.take(1);
    rig.worker(2);
    rig.input(Input::Disconnect { connection: ConnectionId(1) });
    rig.pass(900);
    assert!(rig.starts(2).is_empty());
    rig.pass(200);
    let (start, _) = rig.take(2);
    let previous = start.previous.unwrap();
    assert!(!previous.dead);
    assert!(previous.lease_end_ms >= rig.now);
}

#[test]
fn a_death_does_not_clear_the_assignments_that_may_still_be_acting() {
    let mut rig = Rig::new();
    rig.start_run();
    rig.worker(1);
    rig.take(1);
    rig.input(Input::Disconnect { connection: ConnectionId(1) });
    rig.pass(1_100);
    rig.worker(2);
    let (start, _) = rig.take(2);
    let lease_end_ms = start.previous.unwrap().lease_end_ms;
    rig.input(Input::WorkerDead { worker: worker_id(2) });
    rig.worker(3);
    let (start, _) = rig.take(3);
    assert_eq!(start.lost, [Lost { assignment: 1, lease_end_ms }]);
    assert_eq!(start.previous, Some(Previous { dead: false, lease_end_ms }));
}

#[test]
fn a_silent_worker_loses_its_lease() {
    let mut rig = Rig::new();
    let run = rig.start_run();
    rig.worker(1);
    let (_, _hands) = rig.take(1);
    rig.pass(9_000);
    assert!(rig.frames(1).iter().any(|frame| matches!(frame, FromServer::Ping(_))));
    assert_eq!(rig.state(run), State::Running);
    rig.pass(2_000);
    assert!(rig.out.iter().any(|output| matches!(output, Output::Close(ConnectionId(1)))));
    assert_eq!(rig.state(run), State::Queued);
}

#[test]
fn a_server_that_restarts_leaves_runs_with_their_workers() {
    let mut rig = Rig::new();
    let run = rig.start_run();
    rig.worker(1);
    let (_, mut hands) = rig.take(1);
    rig.step(1, &mut hands, "a");
    // A record is durable, but the worker never heard of it: the server dies.
    let known = hands.seq;
    rig.step(1, &mut hands, "b");
    rig.restart();
    let mut again = hello(1, 2);
    again.held = vec![Held { run, assignment: 1, seq: known, wait: None }];
    rig.connect(5, again);
    let mut hands = Hands { run, assignment: 1, seq: known, n: 2 };
    let news = rig.learn(5, &mut hands);
    assert_eq!(news.iter().map(|record| record.record.n).collect::<Vec<_>>(), [2]);
    rig.step(5, &mut hands, "c");
    assert_eq!(rig.journal(run), ["step a", "step b", "step c"]);
}

#[test]
fn after_a_restart_the_runs_of_workers_that_stay_away_go_elsewhere() {
    let mut rig = Rig::new();
    rig.start_run();
    rig.worker(1);
    let (_, _hands) = rig.take(1);
    rig.restart();
    rig.worker(2);
    assert!(rig.starts(2).is_empty());
    rig.pass(1_100);
    assert_eq!(rig.starts(2).len(), 1);
}

#[test]
fn a_run_that_kills_its_workers_is_tried_alone_and_then_blocked() {
    let mut rig = Rig::new();
    let run = rig.start_run();
    for worker in 1..=3 {
        rig.worker(worker);
        let (start, _) = rig.take(worker);
        assert_eq!(start.alone, worker == 3);
        die(&mut rig, worker);
    }
    let status = rig.run(run).status;
    assert_eq!(status.state, State::Blocked);
    assert_eq!(status.blocked.unwrap().code, "poison");
}

#[test]
fn progress_clears_a_run_of_suspicion() {
    let mut rig = Rig::new();
    let run = rig.start_run();
    for worker in 1..=5 {
        rig.worker(worker);
        let (_, mut hands) = rig.take(worker);
        rig.step(worker, &mut hands, &format!("s{worker}"));
        die(&mut rig, worker);
    }
    assert_eq!(rig.state(run), State::Queued);
}

#[test]
fn a_start_that_is_not_accepted_goes_elsewhere() {
    let mut rig = Rig::new();
    rig.start_run();
    rig.worker(1);
    assert_eq!(rig.starts(1).len(), 1);
    rig.worker(2);
    for _ in 0..6 {
        rig.pass(2_000);
        for worker in [1, 2] {
            rig.frame(worker, FromWorker::Pong(polos_protocol::frame::Empty {}));
        }
    }
    assert_eq!(rig.starts(2).len(), 1);
}

#[test]
fn a_released_run_is_given_again_without_blame() {
    let mut rig = Rig::new();
    let run = rig.start_run();
    rig.worker(1);
    let (_, hands) = rig.take(1);
    rig.frame(1, FromWorker::Release(reference(&hands)));
    // The worker may forget it: one that drains waits for that.
    let frames = rig.frames(1);
    let [FromServer::Done(done), FromServer::Start(start)] = &frames[..] else {
        panic!("{frames:?}")
    };
    assert_eq!(*done, reference(&hands));
    assert_eq!((start.run, start.assignment), (run, 2));
    assert_eq!(rig.run(run).status.deaths, 0);
}

#[test]
fn an_older_connection_of_the_same_worker_is_refused() {
    let mut rig = Rig::new();
    rig.connect(1, hello(1, 5));
    rig.connect(2, hello(1, 4));
    let frames = rig.frames(2);
    assert!(matches!(&frames[..], [FromServer::Error(fatal)] if fatal.code == "stale_connection"));
}

#[test]
fn records_of_many_runs_are_acknowledged_in_one_frame() {
    let mut rig = Rig::new();
    let runs = [rig.start_run(), rig.start_run()];
    rig.worker(1);
    assert_eq!(rig.starts(1).len(), 2);
    let of = |run| RunRecords {
        run,
        assignment: 1,
        records: vec![NewRecord::new(1, Kind::Step, key("a"), 0)],
    };
    rig.frame(1, FromWorker::Record(RecordRequest { runs: runs.map(of).to_vec() }));
    let frames = rig.frames(1);
    assert!(matches!(&frames[..], [FromServer::Recorded(recorded)] if recorded.runs.len() == 2));
}

#[test]
fn a_run_that_kills_its_workers_before_they_can_accept_it_is_blocked_too() {
    let mut rig = Rig::new();
    let run = rig.start_run();
    for worker in 1..=3 {
        rig.worker(worker);
        assert_eq!(rig.starts(worker).len(), 1);
        die(&mut rig, worker);
    }
    assert_eq!(rig.run(run).status.blocked.unwrap().code, "poison");
}
