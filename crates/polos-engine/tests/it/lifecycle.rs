//! From start to end: start keys, records, ends and failures.

use crate::rig::{Rig, json, key, reference};
use polos_engine::Request;
use polos_protocol::frame::{FailRequest, FromServer, FromWorker, RecordRequest, RunRecords};
use polos_protocol::record::{Kind, NewRecord};
use polos_protocol::rest::StartRequest;
use polos_protocol::{Failure, State};

#[test]
fn a_run_goes_from_start_to_end() {
    let mut rig = Rig::new();
    let run = rig.start_run();
    assert_eq!(rig.state(run), State::Queued);
    rig.worker(1);
    let (start, mut hands) = rig.take(1);
    assert_eq!((start.run, start.assignment, start.workflow.as_str()), (run, 1, "w"));
    rig.step(1, &mut hands, "a");
    rig.step(1, &mut hands, "b");
    rig.complete(1, &hands);
    assert!(matches!(rig.frames(1)[..], [FromServer::Done(done)] if done == reference(&hands)));
    assert_eq!(rig.state(run), State::Completed);
    assert_eq!(rig.run(run).status.output.unwrap().text(), Some("42"));
    assert_eq!(rig.journal(run), ["step a", "step b"]);
}

#[test]
fn a_start_key_starts_once() {
    let mut rig = Rig::new();
    let request = |input: &str| StartRequest {
        workflow: "w".into(),
        key: Some("k".into()),
        input: json(input),
        ..StartRequest::default()
    };
    let run = rig.start(request("1"));
    assert_eq!(rig.start(request("1")), run);
    let error = rig.try_request(Request::Start(Box::new(request("2")))).unwrap_err();
    assert_eq!(error.code, "start_key_conflict");
    rig.restart();
    assert_eq!(rig.start(request("1")), run);
}

#[test]
fn records_that_come_twice_are_kept_once() {
    let mut rig = Rig::new();
    let run = rig.start_run();
    rig.worker(1);
    let (_, mut hands) = rig.take(1);
    rig.step(1, &mut hands, "a");
    hands.n = 0;
    rig.step(1, &mut hands, "a");
    assert_eq!(rig.journal(run), ["step a"]);
}

#[test]
fn a_record_out_of_turn_blocks_the_run_and_nothing_else() {
    let mut rig = Rig::new();
    let run = rig.start_run();
    rig.worker(1);
    let (_, mut hands) = rig.take(1);
    hands.n = 7;
    rig.step(1, &mut hands, "a");
    assert_eq!(rig.state(run), State::Blocked);
    assert!(rig.frames(1).iter().any(|frame| matches!(frame, FromServer::Revoked(_))));
    let other = rig.start_run();
    let (start, _) = rig.take(1);
    assert_eq!(start.run, other);
}

#[test]
fn one_key_cannot_be_recorded_twice() {
    let mut rig = Rig::new();
    let run = rig.start_run();
    rig.worker(1);
    let (_, mut hands) = rig.take(1);
    rig.step(1, &mut hands, "a");
    rig.step(1, &mut hands, "a");
    assert_eq!(rig.state(run), State::Blocked);
    assert_eq!(rig.journal(run), ["step a", "verb"]);
}

#[test]
fn records_of_one_frame_keep_their_order() {
    let mut rig = Rig::new();
    let run = rig.start_run();
    rig.worker(1);
    let (_, mut hands) = rig.take(1);
    let records =
        (1..=3).map(|n| NewRecord::new(n, Kind::Step, key(&format!("s{n}")), 0)).collect();
    let runs = vec![RunRecords { run, assignment: 1, records }];
    rig.frame(1, FromWorker::Record(RecordRequest { runs }));
    rig.learn(1, &mut hands);
    assert_eq!(hands.seq, 3);
    assert_eq!(rig.journal(run), ["step s1", "step s2", "step s3"]);
}

fn fail(rig: &mut Rig, error: Failure) -> polos_protocol::RunId {
    let run = rig.start_run();
    rig.worker(1);
    let (_, hands) = rig.take(1);
    let fail = FailRequest { run, assignment: hands.assignment, n: 0, error, step: None };
    rig.frame(1, FromWorker::Fail(fail));
    run
}

#[test]
fn an_uncaught_error_blocks_a_root_run() {
    let mut rig = Rig::new();
    let run = fail(&mut rig, Failure::new("error", "boom"));
    let status = rig.run(run).status;
    assert_eq!(status.state, State::Blocked);
    let blocked = status.blocked.unwrap();
    assert_eq!(blocked.code, "uncaught_error");
    assert!(blocked.hint.contains("polos runs resume"));
}

#[test]
fn a_terminal_error_fails_it() {
    let mut rig = Rig::new();
    let run = fail(&mut rig, Failure::new("error", "boom").terminal());
    assert_eq!(rig.state(run), State::Failed);
}

#[test]
fn bad_names_are_refused_and_named() {
    let mut rig = Rig::new();
    let request = StartRequest { workflow: String::new(), ..StartRequest::default() };
    let error = rig.try_request(Request::Start(Box::new(request))).unwrap_err();
    assert_eq!((error.code, error.hint.is_empty()), ("bad_name", false));
}

#[test]
fn limits_beyond_all_time_are_no_limits() {
    let mut rig = Rig::new();
    let options = polos_protocol::record::RunOptions {
        timeout_ms: Some(u64::MAX),
        deadline_ms: Some(u64::MAX),
        ..polos_protocol::record::RunOptions::default()
    };
    let run = rig.start(StartRequest { workflow: "w".into(), options, ..StartRequest::default() });
    let mut hello = crate::rig::hello(1, 1);
    hello.definitions[0].step_timeout_ms = Some(u64::MAX);
    rig.connect(1, hello);
    let (_, mut hands) = rig.take(1);
    rig.step(1, &mut hands, "a");
    rig.pass(1_000);
    rig.complete(1, &hands);
    assert_eq!(rig.state(run), State::Completed);
}
