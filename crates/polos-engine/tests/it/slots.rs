//! Slots over reconnections and restarts of the server: a run that waits in its worker's memory has
//! none, and takes one again before it goes on.

use crate::rig::{Hands, Rig, hello, json, key};
use polos_engine::{ConnectionId, Input, Request};
use polos_protocol::frame::{FromServer, FromWorker, Held, Kept, WaitRequest, Welcome};
use polos_protocol::record::{Kind, NewRecord, Open, OpenEvent};
use polos_protocol::rest::{CancelRequest, PublishRequest, StartRequest, Verb};
use polos_protocol::{QueueConfig, RunId, Wait};

fn limit(rig: &mut Rig, concurrency: u32) {
    let concurrency = Some(concurrency);
    let config = QueueConfig { name: "q".into(), concurrency, ..QueueConfig::default() };
    rig.request(Request::PutQueue(config));
}

fn start(rig: &mut Rig) -> RunId {
    let mut request = StartRequest { workflow: "w".into(), ..StartRequest::default() };
    request.options.queue = Some("q".into());
    rig.start(request)
}

fn publish(rig: &mut Rig) {
    let request =
        PublishRequest { topic: "t".into(), payload: json("7"), ..PublishRequest::default() };
    rig.request(Request::Publish(request));
}

/// The run waits for an event in its worker's memory.
fn wait(rig: &mut Rig, connection: u64, hands: &mut Hands) {
    let event = Open::Event(OpenEvent { topic: "t".into(), signal: false, deadline_ms: None });
    let record = NewRecord::new(0, Kind::Open, key("x"), hands.seq).with_detail(&event).unwrap();
    rig.record(connection, hands, record);
    let (run, assignment, seq, n) = (hands.run, hands.assignment, hands.seq, hands.n);
    rig.frame(connection, FromWorker::Wait(WaitRequest { run, assignment, seq, n, wait: on_x() }));
}

fn on_x() -> Wait {
    Wait::Key(key("x"))
}

fn held(hands: &Hands, wait: Option<Wait>) -> Held {
    Held { run: hands.run, assignment: hands.assignment, seq: hands.seq, wait }
}

/// The worker comes back on a new connection with what it holds.
fn come_back(rig: &mut Rig, number: u64, held: Vec<Held>) -> Vec<Kept> {
    let mut again = hello(number, 2);
    again.held = held;
    rig.connect(number + 10, again);
    let kept = |frame| match frame {
        FromServer::Welcome(Welcome { kept, .. }) => Some(kept),
        _ => None,
    };
    let mut frames = rig.frames(number + 10).into_iter().peekable();
    let kept = frames.next().and_then(kept).unwrap();
    let connection = ConnectionId(number + 10);
    rig.out.extend(frames.map(|frame| polos_engine::Output::Send(connection, frame)));
    kept
}

fn appends(rig: &mut Rig, connection: u64) -> Vec<RunId> {
    let frames = rig.frames(connection).into_iter();
    frames.filter_map(|f| if let FromServer::Append(a) = f { Some(a.run) } else { None }).collect()
}

/// One slot, one worker; the first run waits hot, the second works.
fn one_waits_and_one_works() -> (Rig, Hands, Hands) {
    let mut rig = Rig::new();
    limit(&mut rig, 1);
    start(&mut rig);
    rig.worker(1);
    let (_, mut first) = rig.take(1);
    wait(&mut rig, 1, &mut first);
    start(&mut rig);
    let (_, second) = rig.take(1);
    (rig, first, second)
}

#[test]
fn a_run_that_waited_over_a_restart_goes_on_only_when_its_queue_has_room() {
    let (mut rig, first, second) = one_waits_and_one_works();
    rig.restart();
    publish(&mut rig);
    let kept = come_back(&mut rig, 1, vec![held(&first, Some(on_x())), held(&second, None)]);
    let seq = kept.iter().find(|kept| kept.run == first.run).unwrap().seq;
    assert_eq!(seq, first.seq, "the event is not shown before there is a slot");
    assert!(appends(&mut rig, 11).is_empty());
    rig.complete(11, &second);
    assert_eq!(appends(&mut rig, 11), [first.run]);
}

#[test]
fn an_event_that_comes_after_the_restart_waits_for_a_slot_too() {
    let (mut rig, first, second) = one_waits_and_one_works();
    rig.restart();
    come_back(&mut rig, 1, vec![held(&first, Some(on_x())), held(&second, None)]);
    publish(&mut rig);
    assert!(appends(&mut rig, 11).is_empty());
    rig.complete(11, &second);
    assert_eq!(appends(&mut rig, 11), [first.run]);
}

#[test]
fn a_cancellation_of_a_waiting_run_waits_for_its_slot() {
    let (mut rig, first, second) = one_waits_and_one_works();
    rig.restart();
    rig.verb(first.run, Verb::Cancel(CancelRequest::default()));
    come_back(&mut rig, 1, vec![held(&first, Some(on_x())), held(&second, None)]);
    assert!(appends(&mut rig, 11).is_empty(), "its cleanup is work like any other");
    rig.complete(11, &second);
    assert_eq!(appends(&mut rig, 11), [first.run]);
}

#[test]
fn waiting_runs_free_their_slots_when_their_worker_says_so_after_a_restart() {
    let (mut rig, first, second) = one_waits_and_one_works();
    rig.complete(1, &second);
    rig.restart();
    let third = start(&mut rig);
    come_back(&mut rig, 1, vec![held(&first, Some(on_x()))]);
    let starts = rig.starts(11);
    assert_eq!(starts.iter().map(|start| start.run).collect::<Vec<_>>(), [third]);
}

#[test]
fn runs_over_the_limit_start_no_others_and_a_worker_that_stays_away_frees_its_slots() {
    let (mut rig, first, second) = one_waits_and_one_works();
    rig.restart();
    let third = start(&mut rig);
    rig.worker(3);
    assert!(rig.starts(3).is_empty(), "two runs count against a limit of one");
    // Worker 1 never comes back: both go elsewhere, one at a time and before the new one.
    rig.pass(1_100);
    let (start, hands) = rig.take(3);
    assert_eq!(start.run, first.run);
    rig.complete(3, &hands);
    let (start, hands) = rig.take(3);
    assert_eq!(start.run, second.run);
    rig.complete(3, &hands);
    assert_eq!(rig.take(3).0.run, third);
}

#[test]
fn a_broken_connection_changes_no_slot() {
    let (mut rig, first, second) = one_waits_and_one_works();
    rig.input(Input::Disconnect { connection: ConnectionId(1) });
    publish(&mut rig);
    come_back(&mut rig, 1, vec![held(&first, Some(on_x())), held(&second, None)]);
    assert!(appends(&mut rig, 11).is_empty());
    rig.complete(11, &second);
    assert_eq!(appends(&mut rig, 11), [first.run]);
}
