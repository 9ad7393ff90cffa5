//! Waiting: timers, events, signals, children and people; hot and parked.

use crate::rig::{Hands, Rig, json, key};
use polos_engine::Request;
use polos_protocol::frame::{FromServer, FromWorker, ParkRequest, WaitRequest};
use polos_protocol::record::{
    Kind, NewRecord, Open, OpenApproval, OpenChild, OpenEvent, RunOptions,
};
use polos_protocol::rest::{CancelRequest, DecideRequest, PublishRequest, Verb};
use polos_protocol::{Namespace, RunId, State, Value, Wait};
use polos_store::Read;
use polos_store::read::PageRequest;

fn open(rig: &mut Rig, connection: u64, hands: &mut Hands, name: &str, open: &Open) {
    let record = NewRecord::new(0, Kind::Open, key(name), hands.seq).with_detail(open).unwrap();
    rig.record(connection, hands, record);
}

fn park(rig: &mut Rig, connection: u64, hands: &Hands, wait: Wait) {
    let (run, assignment, seq, n) = (hands.run, hands.assignment, hands.seq, hands.n);
    rig.frame(connection, FromWorker::Park(ParkRequest { run, assignment, seq, n, wait }));
}

fn on(name: &str) -> Wait {
    Wait::Key(key(name))
}

fn event(topic: &str) -> Open {
    Open::Event(OpenEvent { topic: topic.into(), signal: false, deadline_ms: None })
}

fn publish(rig: &mut Rig, topic: &str, run: Option<RunId>) {
    let request = PublishRequest { topic: topic.into(), payload: json("7"), run, key: None };
    rig.request(Request::Publish(request));
}

fn parked(what: &Open) -> (Rig, RunId) {
    let mut rig = Rig::new();
    let run = rig.start_run();
    rig.worker(1);
    let (_, mut hands) = rig.take(1);
    open(&mut rig, 1, &mut hands, "x", what);
    park(&mut rig, 1, &hands, on("x"));
    assert!(rig.frames(1).iter().any(|frame| matches!(frame, FromServer::Done(_))));
    assert_eq!(rig.state(run), State::Waiting);
    (rig, run)
}

#[test]
fn a_timer_wakes_a_parked_run_even_after_a_restart() {
    let (mut rig, run) = parked(&Open::Timer { at: 1_060_000 });
    rig.restart();
    rig.pass(59_999);
    rig.worker(2);
    assert_eq!(rig.state(run), State::Waiting);
    rig.pass(1);
    let (start, _) = rig.take(2);
    assert_eq!(start.journal.last().unwrap().kind(), Kind::Resolved);
}

#[test]
fn an_event_wakes_a_parked_run_with_its_payload() {
    let (mut rig, run) = parked(&event("t"));
    publish(&mut rig, "other", None);
    assert_eq!(rig.state(run), State::Waiting);
    publish(&mut rig, "t", None);
    let (start, _) = rig.take(1);
    let value = start.journal.last().unwrap().record.value.clone().unwrap();
    assert!(value.text().unwrap().contains(r#""payload":{"v":7}"#), "{value:?}");
}

#[test]
fn events_since_the_runs_creation_are_kept_and_seen_once_in_order() {
    let mut rig = Rig::new();
    publish(&mut rig, "t", None);
    rig.now += 1;
    let run = rig.start_run();
    publish(&mut rig, "t", None);
    publish(&mut rig, "t", None);
    rig.worker(1);
    let (_, mut hands) = rig.take(1);
    for name in ["a", "b", "c"] {
        open(&mut rig, 1, &mut hands, name, &event("t"));
    }
    assert_eq!(rig.journal(run), ["open a", "resolved a", "open b", "resolved b", "open c"]);
    assert_eq!(rig.run(run).status.cursors["t"], 3);
}

#[test]
fn a_signal_waits_in_the_inbox_and_an_ended_run_refuses_it() {
    let mut rig = Rig::new();
    let run = rig.start_run();
    publish(&mut rig, "go", Some(run));
    rig.worker(1);
    let (_, mut hands) = rig.take(1);
    open(
        &mut rig,
        1,
        &mut hands,
        "x",
        &Open::Event(OpenEvent { topic: "go".into(), signal: true, deadline_ms: None }),
    );
    assert_eq!(rig.journal(run), ["open x", "resolved x"]);
    rig.complete(1, &hands);
    let request =
        PublishRequest { topic: "go".into(), run: Some(run), ..PublishRequest::default() };
    assert_eq!(rig.try_request(Request::Publish(request)).unwrap_err().code, "run_ended");
}

#[test]
fn a_wait_with_a_deadline_ends_with_a_timeout() {
    let what =
        Open::Event(OpenEvent { topic: "t".into(), signal: false, deadline_ms: Some(1_005_000) });
    let (mut rig, _) = parked(&what);
    rig.pass(5_000);
    let (start, _) = rig.take(1);
    assert_eq!(start.journal.last().unwrap().record.error.as_ref().unwrap().code, "timeout");
    publish(&mut rig, "t", None);
    assert_eq!(rig.journal(start.run), ["open x", "resolved x"]);
}

#[test]
fn an_approval_parks_a_run_and_its_answer_wakes_it_once() {
    let question = OpenApproval { title: "Merge?".into(), ..OpenApproval::default() };
    let (mut rig, run) = parked(&Open::Approval(question));
    let page = PageRequest { cursor: None, limit: 10 };
    let approvals = rig.store.approvals(&Namespace::default(), None, Some(run), &page).unwrap();
    let id = approvals.items[0].approval.id;
    assert!(rig.run(run).status.why.unwrap().contains("Merge?"));
    let decision =
        DecideRequest { approved: true, feedback: Some("fine".into()), ..DecideRequest::default() };
    rig.request(Request::Decide(id, decision.clone()));
    rig.request(Request::Decide(id, decision.clone()));
    let other = DecideRequest { scope: Some("always".into()), ..decision };
    assert_eq!(rig.try_request(Request::Decide(id, other)).unwrap_err().code, "already_decided");
    let other = DecideRequest { approved: false, ..DecideRequest::default() };
    assert_eq!(rig.try_request(Request::Decide(id, other)).unwrap_err().code, "already_decided");
    let (start, _) = rig.take(1);
    assert_eq!(start.journal.iter().filter(|record| record.kind() == Kind::Resolved).count(), 1);
}

#[test]
fn a_park_that_comes_too_late_is_not_taken() {
    let mut rig = Rig::new();
    let run = rig.start_run();
    rig.worker(1);
    let (_, mut hands) = rig.take(1);
    open(&mut rig, 1, &mut hands, "x", &event("t"));
    publish(&mut rig, "t", None);
    park(&mut rig, 1, &hands, on("x"));
    assert_eq!(rig.state(run), State::Running);
    assert_eq!(rig.learn(1, &mut hands).len(), 1);
    rig.complete(1, &hands);
    assert_eq!(rig.state(run), State::Completed);
}

#[test]
fn a_hot_run_gives_its_slot_back_and_takes_it_again() {
    let mut rig = Rig::new();
    let config = polos_protocol::QueueConfig {
        name: "default".into(),
        concurrency: Some(1),
        ..Default::default()
    };
    rig.request(Request::PutQueue(config));
    let first = rig.start_run();
    let second = rig.start_run();
    rig.worker(1);
    let (start, mut hands) = rig.take(1);
    assert_eq!(start.run, first);
    open(&mut rig, 1, &mut hands, "x", &event("t"));
    let (run, assignment, seq, n) = (hands.run, hands.assignment, hands.seq, hands.n);
    rig.frame(1, FromWorker::Wait(WaitRequest { run, assignment, seq, n, wait: on("x") }));
    let (start, other) = rig.take(1);
    assert_eq!(start.run, second);
    // What the first waits for comes, but the second has the slot: it is kept back.
    publish(&mut rig, "t", None);
    assert!(rig.learn(1, &mut hands).is_empty());
    rig.complete(1, &other);
    assert_eq!(rig.learn(1, &mut hands).len(), 1);
    rig.complete(1, &hands);
    assert_eq!(rig.state(first), State::Completed);
}

fn child(rig: &mut Rig, hands: &mut Hands, detached: bool) {
    let what = Open::Child(OpenChild {
        workflow: "child".into(),
        input: Value::null(),
        options: RunOptions::default(),
        detached,
    });
    open(rig, 1, hands, "c", &what);
}

#[test]
fn a_childs_end_is_its_parents_record() {
    let mut rig = Rig::new();
    let parent = rig.start_run();
    rig.worker(1);
    let (_, mut hands) = rig.take(1);
    child(&mut rig, &mut hands, false);
    let (start, child_hands) = rig.take(1);
    assert_eq!((start.parent, start.root, start.depth), (Some(parent), parent, 1));
    assert_eq!(start.run, RunId::derived(parent.bytes(), "c"));
    park(&mut rig, 1, &hands, on("c"));
    assert!(rig.run(parent).status.why.unwrap().contains("its child"));
    rig.complete(1, &child_hands);
    let (start, _) = rig.take(1);
    assert_eq!(start.run, parent);
    assert_eq!(start.journal.last().unwrap().record.value.as_ref().unwrap().text(), Some("42"));
}

#[test]
fn cancelling_a_parent_cancels_its_attached_children_only() {
    for detached in [false, true] {
        let mut rig = Rig::new();
        let parent = rig.start_run();
        rig.worker(1);
        let (_, mut hands) = rig.take(1);
        child(&mut rig, &mut hands, detached);
        let (start, _) = rig.take(1);
        rig.verb(parent, Verb::Cancel(CancelRequest::default()));
        let asked = rig.run(start.run).status.cancelling.is_some();
        assert_eq!(asked, !detached);
        assert!(rig.journal(parent).contains(&"cancel".to_owned()));
        // Nobody cleans up: the server ends them.
        for _ in 0..16 {
            rig.pass(2_000);
            rig.frame(1, FromWorker::Pong(polos_protocol::frame::Empty {}));
        }
        assert_eq!(rig.state(parent), State::Cancelled);
        assert_eq!(rig.state(start.run), if detached { State::Running } else { State::Cancelled });
    }
}

#[test]
fn a_wait_that_lost_its_race_consumes_nothing() {
    let mut rig = Rig::new();
    let run = rig.start_run();
    rig.worker(1);
    let (_, mut hands) = rig.take(1);
    open(&mut rig, 1, &mut hands, "x", &event("t"));
    publish(&mut rig, "t", None);
    // The code decided its race before it saw the event.
    let lost = NewRecord::new(0, Kind::Lost, key("x"), hands.seq);
    rig.record(1, &mut hands, lost);
    open(&mut rig, 1, &mut hands, "y", &event("t"));
    assert_eq!(rig.journal(run), ["open x", "resolved x", "lost x", "open y", "resolved y"]);
}

#[test]
fn all_that_lost_waits_took_comes_again() {
    let mut rig = Rig::new();
    let run = rig.start_run();
    rig.worker(1);
    let (_, mut hands) = rig.take(1);
    let scope = key("race");
    for name in ["x", "y"] {
        let record = NewRecord::new(0, Kind::Open, scope.child(name, 1), hands.seq);
        rig.record(1, &mut hands, record.with_detail(&event("t")).unwrap());
    }
    let decided_at = hands.seq;
    publish(&mut rig, "t", None);
    publish(&mut rig, "t", None);
    rig.learn(1, &mut hands);
    rig.record(1, &mut hands, NewRecord::new(0, Kind::Lost, scope, decided_at));
    for name in ["a", "b"] {
        open(&mut rig, 1, &mut hands, name, &event("t"));
    }
    assert_eq!(positions(&rig, run, "a"), [1]);
    assert_eq!(positions(&rig, run, "b"), [2]);
}

/// The places of the events that were handed out under a key.
fn positions(rig: &Rig, run: RunId, name: &str) -> Vec<u64> {
    let records = rig.store.journal(&Namespace::default(), run, 0, usize::MAX).unwrap();
    let mine = records.iter().filter(|r| r.kind() == Kind::Resolved && *r.key() == key(name));
    let detail = |record: &polos_protocol::Record| {
        record.record.detail::<polos_protocol::record::ResolvedDetail>().unwrap()
    };
    mine.filter_map(|record| detail(record).position).collect()
}

#[test]
fn what_a_lost_wait_took_goes_to_another_that_stands_open() {
    for signal in [false, true] {
        let mut rig = Rig::new();
        let run = rig.start_run();
        rig.worker(1);
        let (_, mut hands) = rig.take(1);
        let what = Open::Event(OpenEvent { topic: "t".into(), signal, deadline_ms: None });
        open(&mut rig, 1, &mut hands, "lost", &what);
        let decided_at = hands.seq;
        open(&mut rig, 1, &mut hands, "other", &what);
        publish(&mut rig, "t", signal.then_some(run));
        rig.learn(1, &mut hands);
        rig.record(1, &mut hands, NewRecord::new(0, Kind::Lost, key("lost"), decided_at));
        assert_eq!(positions(&rig, run, "other"), [1], "signal: {signal}");
    }
}

#[test]
fn what_a_retry_takes_back_comes_again() {
    for signal in [false, true] {
        let mut rig = Rig::new();
        let run = rig.start_run();
        rig.worker(1);
        let (_, mut hands) = rig.take(1);
        let what = Open::Event(OpenEvent { topic: "t".into(), signal, deadline_ms: None });
        publish(&mut rig, "t", signal.then_some(run));
        publish(&mut rig, "t", signal.then_some(run));
        open(&mut rig, 1, &mut hands, "x", &what);
        rig.step(1, &mut hands, "a");
        open(&mut rig, 1, &mut hands, "y", &what);
        rig.complete(1, &hands);
        rig.frames(1);
        let retry = polos_protocol::rest::RetryRequest {
            step: Some(key("a")),
            ..polos_protocol::rest::RetryRequest::default()
        };
        rig.verb(run, Verb::Retry(retry));
        let (_, mut hands) = rig.take(1);
        rig.step(1, &mut hands, "a");
        open(&mut rig, 1, &mut hands, "y", &what);
        open(&mut rig, 1, &mut hands, "z", &what);
        assert_eq!(positions(&rig, run, "x"), [1], "signal: {signal}");
        assert_eq!(positions(&rig, run, "y"), [2, 2], "signal: {signal}");
        publish(&mut rig, "t", signal.then_some(run));
        assert_eq!(positions(&rig, run, "z"), [3], "signal: {signal}");
    }
}

#[test]
fn a_made_up_key_cannot_name_another_child() {
    let mut rig = Rig::new();
    let run = rig.start_run();
    rig.worker(1);
    let (_, mut hands) = rig.take(1);
    let what = Open::Child(OpenChild {
        workflow: "child".into(),
        input: Value::null(),
        options: RunOptions::default(),
        detached: false,
    });
    open(&mut rig, 1, &mut hands, "c@1", &what);
    let forged = polos_protocol::StepKey::from_recorded("c#01");
    let record = NewRecord::new(0, Kind::Open, forged, hands.seq).with_detail(&what).unwrap();
    rig.record(1, &mut hands, record);
    open(&mut rig, 1, &mut hands, "c", &what);
    rig.frames(1);
    let retry = polos_protocol::rest::RetryRequest {
        step: Some(key("c")),
        ..polos_protocol::rest::RetryRequest::default()
    };
    rig.verb(run, Verb::Retry(retry));
    let (_, mut hands) = rig.take(1);
    open(&mut rig, 1, &mut hands, "c", &what);
    assert_eq!(rig.journal(run).last().unwrap(), "resolved c");
}

#[test]
fn a_wait_that_nothing_can_end_blocks_its_run() {
    let beside = Wait::All(vec![on("opened"), on("never")]);
    let never = [on("never"), Wait::Any(vec![]), Wait::First(vec![]), beside];
    for wait in never {
        let mut rig = Rig::new();
        let run = rig.start_run();
        rig.worker(1);
        let (_, mut hands) = rig.take(1);
        open(&mut rig, 1, &mut hands, "opened", &event("t"));
        park(&mut rig, 1, &hands, wait);
        assert_eq!(rig.state(run), State::Blocked);
        assert!(rig.run(run).status.blocked.unwrap().message.contains("never opened"));
    }
}

#[test]
fn a_parked_parent_of_many_hears_of_all_its_children() {
    const CHILDREN: usize = 40;
    let mut rig = Rig::new();
    let parent = rig.start_run();
    rig.worker(1);
    let (_, mut hands) = rig.take(1);
    let names: Vec<String> = (0..CHILDREN).map(|n| format!("c{n}")).collect();
    let what = Open::Child(OpenChild {
        workflow: "child".into(),
        input: Value::null(),
        options: RunOptions::default(),
        detached: false,
    });
    for name in &names {
        open(&mut rig, 1, &mut hands, name, &what);
    }
    park(&mut rig, 1, &hands, Wait::All(names.iter().map(|name| on(name)).collect()));
    let mut ended = 0;
    while rig.state(parent) == State::Waiting {
        if ended == CHILDREN / 2 {
            // Another server knows as much.
            rig.restart();
            rig.pass(1_100);
            rig.connect(2, crate::rig::hello(2, 1));
        }
        let connection = if ended < CHILDREN / 2 { 1 } else { 2 };
        for start in rig.starts(connection) {
            let (run, assignment, seq) = (start.run, start.assignment, start.seq);
            rig.complete(connection, &Hands { run, assignment, seq, n: 0 });
            ended += 1;
            if ended == CHILDREN / 2 {
                break;
            }
        }
    }
    assert_eq!(rig.take(2).0.run, parent);
    let resolved = rig.journal(parent).iter().filter(|line| line.starts_with("resolved")).count();
    assert_eq!(resolved, CHILDREN);
}
