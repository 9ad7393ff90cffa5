//! Queues with `hold`: runs keep their slot while they wait, children run under it, and a ring that
//! cannot move blocks.

use crate::rig::{Hands, Rig, hello, key};
use polos_engine::Request;
use polos_protocol::frame::{FromServer, FromWorker, ParkRequest, RunRef, WaitRequest};
use polos_protocol::record::{Kind, NewRecord, Open, OpenChild, RunOptions};
use polos_protocol::rest::{ResumeRequest, StartRequest, Verb};
use polos_protocol::{QueueConfig, RunId, State, Value, Wait};

fn limit(rig: &mut Rig, concurrency: u32) {
    let concurrency = Some(concurrency);
    let config =
        QueueConfig { name: "q".into(), concurrency, hold: true, ..QueueConfig::default() };
    rig.request(Request::PutQueue(config));
}

fn options(key: &str) -> RunOptions {
    RunOptions {
        queue: Some("q".into()),
        concurrency_key: Some(key.into()),
        ..RunOptions::default()
    }
}

fn start(rig: &mut Rig, key: &str) -> RunId {
    let options = options(key);
    rig.start(StartRequest { workflow: "w".into(), options, ..StartRequest::default() })
}

fn open_child(rig: &mut Rig, hands: &mut Hands, of_key: &str) -> RunId {
    let child = Open::Child(OpenChild {
        workflow: "child".into(),
        input: Value::null(),
        options: options(of_key),
        detached: false,
    });
    let record = NewRecord::new(0, Kind::Open, key("c"), hands.seq).with_detail(&child).unwrap();
    rig.record(1, hands, record);
    RunId::derived(hands.run.bytes(), key("c").as_str())
}

fn wait(rig: &mut Rig, hands: &Hands) {
    let (run, assignment, seq, n) = (hands.run, hands.assignment, hands.seq, hands.n);
    let wait = Wait::Key(key("c"));
    rig.frame(1, FromWorker::Wait(WaitRequest { run, assignment, seq, n, wait }));
}

fn park(rig: &mut Rig, hands: &Hands) {
    let (run, assignment, seq, n) = (hands.run, hands.assignment, hands.seq, hands.n);
    let wait = Wait::Key(key("c"));
    rig.frame(1, FromWorker::Park(ParkRequest { run, assignment, seq, n, wait }));
}

/// The runs that were given to worker 1, as its hands on them.
fn given(rig: &mut Rig) -> Vec<Hands> {
    let starts = rig.starts(1).into_iter();
    starts
        .map(|start| Hands { run: start.run, assignment: start.assignment, seq: start.seq, n: 0 })
        .collect()
}

#[test]
fn children_of_one_queue_and_key_run_under_their_parents_slot() {
    let mut rig = Rig::new();
    limit(&mut rig, 1);
    rig.worker(1);
    start(&mut rig, "a");
    let other = start(&mut rig, "a");
    let (_, mut parent) = rig.take(1);
    let child = open_child(&mut rig, &mut parent, "a");
    park(&mut rig, &parent);
    assert_eq!(rig.state(parent.run), State::Waiting);
    // The child, and its own child too.
    let mut hands = given(&mut rig);
    assert_eq!(hands.iter().map(|hands| hands.run).collect::<Vec<_>>(), [child]);
    let grandchild = open_child(&mut rig, &mut hands[0], "a");
    wait(&mut rig, &hands[0]);
    let below = given(&mut rig);
    assert_eq!(below.iter().map(|hands| hands.run).collect::<Vec<_>>(), [grandchild]);
    rig.complete(1, &below[0]);
    rig.learn(1, &mut hands[0]);
    rig.complete(1, &hands[0]);
    let parent = given(&mut rig);
    assert_eq!(parent.len(), 1, "the parent goes on in the slot that it kept");
    assert_eq!(rig.state(other), State::Queued);
    rig.complete(1, &parent[0]);
    assert_eq!(rig.state(other), State::Running);
}

#[test]
fn kept_slots_survive_a_restart() {
    let mut rig = Rig::new();
    limit(&mut rig, 1);
    rig.worker(1);
    start(&mut rig, "a");
    let other = start(&mut rig, "a");
    let (_, mut parent) = rig.take(1);
    let child = open_child(&mut rig, &mut parent, "a");
    park(&mut rig, &parent);
    rig.restart();
    rig.pass(1_100);
    rig.connect(1, hello(1, 2));
    let hands = given(&mut rig);
    assert_eq!(hands.iter().map(|hands| hands.run).collect::<Vec<_>>(), [child]);
    rig.complete(1, &hands[0]);
    let parent = given(&mut rig);
    assert_eq!(rig.state(other), State::Queued);
    rig.restart();
    rig.pass(1_100);
    assert_eq!(rig.state(parent[0].run), State::Queued);
    rig.connect(1, hello(1, 3));
    let parent = given(&mut rig);
    assert_eq!(parent.len(), 1, "it is ahead of the other, which finds no room");
    rig.complete(1, &parent[0]);
    assert_eq!(rig.state(other), State::Running);
}

/// Two runs have the two slots, and each waits for a child of another key.
fn ring() -> (Rig, [Hands; 2], [RunId; 2]) {
    let mut rig = Rig::new();
    limit(&mut rig, 2);
    rig.worker(1);
    start(&mut rig, "a");
    start(&mut rig, "b");
    let [mut one, mut two]: [Hands; 2] = given(&mut rig).try_into().ok().unwrap();
    let children = [open_child(&mut rig, &mut one, "c"), open_child(&mut rig, &mut two, "c")];
    wait(&mut rig, &one);
    assert_eq!(rig.state(one.run), State::Running, "the other may still end");
    wait(&mut rig, &two);
    (rig, [one, two], children)
}

#[test]
fn the_run_that_closes_a_ring_blocks_and_says_what_makes_room() {
    let (mut rig, [one, two], _) = ring();
    assert_eq!(rig.state(one.run), State::Running);
    let blocked = rig.run(two.run).status.blocked.unwrap();
    assert_eq!(blocked.code, "queue_deadlock");
    let command = format!(
        "`polos queues set q --concurrency 3 --hold`, then `polos runs resume {}`",
        two.run
    );
    assert!(blocked.hint.contains(&command), "{}", blocked.hint);
    let told = rig.frames(1);
    assert!(told.iter().any(|frame| matches!(frame, FromServer::Done(of) if of.run == two.run)));
}

#[test]
fn more_room_opens_the_ring() {
    let (mut rig, [mut one, two], children) = ring();
    rig.frames(1);
    limit(&mut rig, 3);
    let first = given(&mut rig);
    assert_eq!(first.iter().map(|hands| hands.run).collect::<Vec<_>>(), [children[0]]);
    rig.complete(1, &first[0]);
    rig.learn(1, &mut one);
    let second = given(&mut rig);
    assert_eq!(second.iter().map(|hands| hands.run).collect::<Vec<_>>(), [children[1]]);
    rig.complete(1, &second[0]);
    rig.complete(1, &one);
    assert_eq!(rig.state(one.run), State::Completed);
    rig.verb(two.run, Verb::Resume(ResumeRequest::default()));
    let again = given(&mut rig);
    assert_eq!(again.len(), 1);
    rig.complete(1, &again[0]);
    assert_eq!(rig.state(two.run), State::Completed);
}

#[test]
fn a_resumed_run_blocks_again_while_there_is_no_room() {
    let (mut rig, [_, two], _) = ring();
    rig.verb(two.run, Verb::Resume(ResumeRequest::default()));
    let again = given(&mut rig);
    park(&mut rig, &again[0]);
    assert_eq!(rig.run(two.run).status.blocked.unwrap().code, "queue_deadlock");
}

#[test]
fn a_lower_limit_takes_no_slot_away() {
    let mut rig = Rig::new();
    limit(&mut rig, 2);
    rig.worker(1);
    start(&mut rig, "a");
    let (_, mut hands) = rig.take(1);
    let child = open_child(&mut rig, &mut hands, "c");
    let working = given(&mut rig);
    wait(&mut rig, &hands);
    limit(&mut rig, 1);
    assert_eq!(rig.state(hands.run), State::Running, "its child works: it can move");
    let (run, assignment) = (working[0].run, working[0].assignment);
    rig.frame(1, FromWorker::Release(RunRef { run, assignment }));
    assert_eq!(rig.state(child), State::Running, "given back, it has kept its slot");
}

#[test]
fn a_queue_that_is_opened_with_too_little_room_blocks_too() {
    let mut rig = Rig::new();
    limit(&mut rig, 1);
    rig.worker(1);
    start(&mut rig, "a");
    let (_, mut hands) = rig.take(1);
    open_child(&mut rig, &mut hands, "c");
    rig.request(Request::PauseQueue("q".into(), true));
    wait(&mut rig, &hands);
    assert_eq!(rig.state(hands.run), State::Running, "a person will open the queue");
    rig.request(Request::PauseQueue("q".into(), false));
    assert_eq!(rig.run(hands.run).status.blocked.unwrap().code, "queue_deadlock");
}
