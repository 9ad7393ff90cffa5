//! What a run had open when it failed or ended stands open again when a person lets it go on.

use crate::rig::{Hands, Rig, key};
use polos_engine::Request;
use polos_protocol::frame::{FailRequest, FromWorker, ParkRequest};
use polos_protocol::record::{
    Kind, NewRecord, Open, OpenApproval, OpenChild, OpenEvent, RunOptions,
};
use polos_protocol::rest::{
    Approval, ApprovalState, CancelRequest, DecideRequest, PublishRequest, ResumeRequest,
    RetryRequest, StartRequest, Verb,
};
use polos_protocol::{Failure, Namespace, Record, RunId, State, Value, Wait};
use polos_store::Read;
use polos_store::read::PageRequest;

fn open(rig: &mut Rig, hands: &mut Hands, name: &str, open: &Open) {
    let record = NewRecord::new(0, Kind::Open, key(name), hands.seq).with_detail(open).unwrap();
    rig.record(1, hands, record);
}

fn event(deadline_ms: Option<u64>) -> Open {
    Open::Event(OpenEvent { topic: "t".into(), signal: false, deadline_ms })
}

fn question(deadline_ms: Option<u64>) -> Open {
    Open::Approval(OpenApproval { title: "Ship?".into(), deadline_ms, ..OpenApproval::default() })
}

fn child() -> Open {
    Open::Child(OpenChild {
        workflow: "child".into(),
        input: Value::null(),
        options: RunOptions::default(),
        detached: false,
    })
}

fn park(rig: &mut Rig, hands: &Hands, name: &str) {
    let (run, assignment, seq, n) = (hands.run, hands.assignment, hands.seq, hands.n);
    let wait = Wait::Key(key(name));
    rig.frame(1, FromWorker::Park(ParkRequest { run, assignment, seq, n, wait }));
}

fn fail(rig: &mut Rig, hands: &Hands, step: Option<&str>, error: Failure) {
    let (run, assignment, n) = (hands.run, hands.assignment, hands.n);
    let step = step.map(key);
    rig.frame(1, FromWorker::Fail(FailRequest { run, assignment, n, error, step }));
}

fn publish(rig: &mut Rig) {
    let request = PublishRequest { topic: "t".into(), ..PublishRequest::default() };
    rig.request(Request::Publish(request));
}

fn resume(rig: &mut Rig, run: RunId) {
    rig.frames(1);
    rig.verb(run, Verb::Resume(ResumeRequest::default()));
}

fn approvals(rig: &Rig, run: RunId) -> Vec<Approval> {
    let page = PageRequest { cursor: None, limit: 10 };
    let page = rig.store.approvals(&Namespace::default(), None, Some(run), &page).unwrap();
    page.items.into_iter().map(|row| row.approval).collect()
}

fn lines(journal: &[Record]) -> Vec<String> {
    journal.iter().map(|r| format!("{} {}", r.kind().name(), r.key())).collect()
}

fn working() -> (Rig, RunId, Hands) {
    let mut rig = Rig::new();
    let run = rig.start_run();
    rig.worker(1);
    let (_, hands) = rig.take(1);
    (rig, run, hands)
}

/// A run that blocked because what it waited for did not come in time.
fn timed_out(what: &Open) -> (Rig, RunId) {
    let (mut rig, run, mut hands) = working();
    open(&mut rig, &mut hands, "x", what);
    rig.pass(5_000);
    rig.learn(1, &mut hands);
    fail(&mut rig, &hands, Some("x"), Failure::new("timeout", "nothing came in time"));
    assert_eq!(rig.state(run), State::Blocked);
    (rig, run)
}

#[test]
fn a_wait_that_timed_out_is_opened_anew() {
    let (mut rig, run) = timed_out(&event(Some(1_005_000)));
    resume(&mut rig, run);
    let (start, mut hands) = rig.take(1);
    assert_eq!(lines(&start.journal), ["verb ", "verb ", "reset "]);
    open(&mut rig, &mut hands, "x", &event(None));
    park(&mut rig, &hands, "x");
    publish(&mut rig);
    assert_eq!(rig.take(1).0.run, run);
}

#[test]
fn a_question_that_expired_is_asked_anew() {
    let (mut rig, run) = timed_out(&question(Some(1_005_000)));
    resume(&mut rig, run);
    let (_, mut hands) = rig.take(1);
    open(&mut rig, &mut hands, "x", &question(None));
    park(&mut rig, &hands, "x");
    let asked = approvals(&rig, run);
    let pending: Vec<_> = asked.iter().filter(|a| a.state == ApprovalState::Pending).collect();
    assert_eq!((asked.len(), pending.len()), (2, 1));
    let yes = DecideRequest { approved: true, ..DecideRequest::default() };
    rig.request(Request::Decide(pending[0].id, yes));
    assert_eq!(rig.take(1).0.run, run);
}

#[test]
fn a_child_that_was_cancelled_is_begun_anew_by_its_resumed_parent() {
    let (mut rig, run, mut hands) = working();
    open(&mut rig, &mut hands, "c", &child());
    let (start, _) = rig.take(1);
    rig.verb(start.run, Verb::Kill(CancelRequest::default()));
    rig.learn(1, &mut hands);
    fail(&mut rig, &hands, Some("c"), Failure::new("cancelled", "cancelled by ana"));
    assert_eq!(rig.state(run), State::Blocked);
    resume(&mut rig, run);
    let (_, mut hands) = rig.take(1);
    open(&mut rig, &mut hands, "c", &child());
    let (again, of_child) = rig.take(1);
    assert_ne!(again.run, start.run);
    rig.complete(1, &of_child);
    assert_eq!(rig.learn(1, &mut hands).len(), 1);
}

#[test]
fn a_child_that_failed_goes_on_with_its_parent() {
    let (mut rig, run, mut hands) = working();
    open(&mut rig, &mut hands, "c", &child());
    let (start, of_child) = rig.take(1);
    fail(&mut rig, &of_child, None, Failure::new("error", "boom"));
    rig.learn(1, &mut hands);
    fail(&mut rig, &hands, Some("c"), Failure::new("error", "boom"));
    resume(&mut rig, run);
    let starts = rig.starts(1);
    assert_eq!(starts.len(), 2);
    let of_child = starts.iter().find(|again| again.run == start.run).unwrap();
    let hands = Hands { run: start.run, assignment: of_child.assignment, seq: of_child.seq, n: 0 };
    rig.complete(1, &hands);
    assert_eq!(rig.journal(run).last().unwrap(), "resolved c");
}

/// A run with a timer, an event, a question and a child open, which has failed for good.
fn failed() -> (Rig, RunId, RunId) {
    let (mut rig, run, mut hands) = working();
    open(&mut rig, &mut hands, "timer", &Open::Timer { at: 1_060_000 });
    open(&mut rig, &mut hands, "event", &event(Some(1_070_000)));
    open(&mut rig, &mut hands, "question", &question(None));
    open(&mut rig, &mut hands, "c", &child());
    let (start, _) = rig.take(1);
    rig.step(1, &mut hands, "a");
    fail(&mut rig, &hands, None, Failure::new("error", "boom").terminal());
    assert_eq!(rig.state(run), State::Failed);
    (rig, run, start.run)
}

fn reopened(rig: &mut Rig, run: RunId, lost_child: RunId) {
    let starts = rig.starts(1);
    let start = starts.iter().find(|start| start.run == run).unwrap();
    let mut hands = Hands { run, assignment: start.assignment, seq: start.seq, n: 0 };
    rig.frame(1, FromWorker::Accept(crate::rig::reference(&hands)));
    // The child was cancelled when its parent ended: another one is begun.
    assert!(!lines(&start.journal).contains(&"open c".to_owned()));
    open(rig, &mut hands, "c", &child());
    let begun = rig.starts(1);
    assert!(begun.iter().all(|start| start.run != lost_child) && begun.len() == 1);
    park(rig, &hands, "timer");
    publish(rig);
    let asked = approvals(rig, run);
    assert_eq!((asked.len(), asked[0].state), (1, ApprovalState::Pending));
    rig.request(Request::Decide(asked[0].id, DecideRequest::default()));
    let journal = rig.journal(run);
    assert!(
        journal.ends_with(&["resolved event".into(), "resolved question".into()]),
        "{journal:?}"
    );
    assert_eq!(rig.state(run), State::Waiting);
    for _ in 0..30 {
        rig.pass(2_000);
        rig.frame(1, FromWorker::Pong(polos_protocol::frame::Empty {}));
    }
    assert_eq!(rig.state(run), State::Running);
}

#[test]
fn what_a_failed_run_had_open_stands_open_again_when_it_resumes() {
    let (mut rig, run, lost_child) = failed();
    resume(&mut rig, run);
    reopened(&mut rig, run, lost_child);
}

#[test]
fn what_a_failed_run_had_open_stands_open_again_when_it_is_retried() {
    let (mut rig, run, lost_child) = failed();
    rig.frames(1);
    let retry = RetryRequest { step: Some(key("a")), ..RetryRequest::default() };
    rig.verb(run, Verb::Retry(retry));
    reopened(&mut rig, run, lost_child);
}

#[test]
fn a_retried_run_keeps_its_time_limit() {
    let mut rig = Rig::new();
    let options = RunOptions { timeout_ms: Some(60_000), ..RunOptions::default() };
    let run = rig.start(StartRequest { workflow: "w".into(), options, ..StartRequest::default() });
    rig.worker(1);
    let (_, mut hands) = rig.take(1);
    rig.step(1, &mut hands, "a");
    rig.verb(run, Verb::Retry(RetryRequest { step: Some(key("a")), ..RetryRequest::default() }));
    let (_, mut hands) = rig.take(1);
    open(&mut rig, &mut hands, "x", &event(None));
    park(&mut rig, &hands, "x");
    rig.pass(60_000);
    assert!(rig.run(run).status.cancelling.is_some());
}

#[test]
fn a_retry_from_before_a_cancellation_takes_it_back() {
    let (mut rig, run, mut hands) = working();
    rig.step(1, &mut hands, "a");
    rig.verb(run, Verb::Cancel(CancelRequest::default()));
    rig.verb(run, Verb::Retry(RetryRequest { step: Some(key("a")), ..RetryRequest::default() }));
    assert!(rig.run(run).status.cancelling.is_none());
    rig.frames(1);
    rig.verb(run, Verb::Cancel(CancelRequest::default()));
    assert_eq!(rig.journal(run).last().unwrap(), "cancel");
}

#[test]
fn an_event_that_a_lost_wait_gave_back_is_its_own_again_after_a_retry() {
    for (is_taken, from, comes) in [(false, "b", false), (true, "b", false), (true, "y", true)] {
        let mut rig = Rig::new();
        let run = rig.start_run();
        rig.worker(1);
        let (_, mut hands) = rig.take(1);
        rig.step(1, &mut hands, "a");
        let before = hands.seq;
        open(&mut rig, &mut hands, "x", &event(None));
        publish(&mut rig);
        rig.learn(1, &mut hands);
        rig.step(1, &mut hands, "b");
        rig.record(1, &mut hands, NewRecord::new(0, Kind::Lost, key("x"), before));
        if is_taken {
            open(&mut rig, &mut hands, "y", &event(None));
            assert_eq!(rig.journal(run).last().unwrap(), "resolved y");
        }
        rig.frames(1);
        let retry = RetryRequest { step: Some(key(from)), ..RetryRequest::default() };
        rig.verb(run, Verb::Retry(retry));
        let (_, mut hands) = rig.take(1);
        open(&mut rig, &mut hands, "z", &event(None));
        let came = rig.journal(run).last().unwrap() == "resolved z";
        assert_eq!(came, comes, "from `{from}`: a loss that is taken back gives nothing back");
    }
}
