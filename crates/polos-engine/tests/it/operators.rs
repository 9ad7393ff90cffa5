//! What people order: resume, retry, fork, settle, kill.

use crate::rig::{Hands, Rig, hello, json, key, reference};
use polos_engine::{ConnectionId, Input, Request, Response};
use polos_protocol::frame::{Empty, FailRequest, FromServer, FromWorker};
use polos_protocol::record::{Effect, IntentDetail, Kind, NewRecord, StepDetail};
use polos_protocol::rest::{
    CancelRequest, ForkRequest, ResumeRequest, RetryRequest, SettleRequest, StartRequest, Verb,
};
use polos_protocol::{Failure, RunId, State};

fn failing_step(rig: &mut Rig, hands: &mut Hands, name: &str) {
    let mut record = NewRecord::new(0, Kind::Step, key(name), hands.seq);
    record.error = Some(Failure::new("error", "boom"));
    rig.record(1, hands, record);
    let error = Failure::new("error", "boom");
    let (run, assignment, n) = (hands.run, hands.assignment, hands.n);
    rig.frame(
        1,
        FromWorker::Fail(FailRequest { run, assignment, n, error, step: Some(key(name)) }),
    );
}

fn blocked() -> (Rig, RunId) {
    let mut rig = Rig::new();
    let run = rig.start_run();
    rig.worker(1);
    let (_, mut hands) = rig.take(1);
    rig.step(1, &mut hands, "a");
    failing_step(&mut rig, &mut hands, "b");
    assert_eq!(rig.state(run), State::Blocked);
    (rig, run)
}

fn keys(journal: &[polos_protocol::Record]) -> Vec<String> {
    let steps = journal.iter().filter(|record| record.kind() == Kind::Step);
    steps.map(|record| record.key().to_string()).collect()
}

#[test]
fn a_resumed_run_goes_on_from_the_step_that_failed() {
    let (mut rig, run) = blocked();
    rig.frames(1);
    rig.verb(run, Verb::Resume(ResumeRequest::default()));
    let (start, mut hands) = rig.take(1);
    assert_eq!(keys(&start.journal), ["a"]);
    rig.step(1, &mut hands, "b");
    rig.complete(1, &hands);
    assert_eq!(rig.state(run), State::Completed);
}

#[test]
fn a_retry_supersedes_what_follows() {
    let mut rig = Rig::new();
    let run = rig.start_run();
    rig.worker(1);
    let (_, mut hands) = rig.take(1);
    for name in ["a", "b", "c"] {
        rig.step(1, &mut hands, name);
    }
    rig.complete(1, &hands);
    rig.frames(1);
    let retry = RetryRequest { step: Some(key("b")), ..RetryRequest::default() };
    rig.verb(run, Verb::Retry(retry));
    let (start, mut hands) = rig.take(1);
    assert_eq!(keys(&start.journal), ["a"]);
    rig.step(1, &mut hands, "b");
    rig.complete(1, &hands);
    assert_eq!(rig.journal(run), ["step a", "step b", "step c", "reset", "step b"]);
}

#[test]
fn a_retry_of_a_running_run_takes_it_from_its_worker() {
    let mut rig = Rig::new();
    let run = rig.start_run();
    rig.worker(1);
    let (_, mut hands) = rig.take(1);
    rig.step(1, &mut hands, "a");
    rig.verb(run, Verb::Retry(RetryRequest { step: Some(key("a")), ..RetryRequest::default() }));
    let frames = rig.frames(1);
    assert!(
        frames.iter().any(|frame| matches!(frame, FromServer::Revoked(r) if r.assignment == 1))
    );
    assert!(frames.iter().any(|frame| matches!(frame, FromServer::Start(s) if s.assignment == 2 && keys(&s.journal).is_empty())));
}

fn once(rig: &mut Rig, hands: &mut Hands, name: &str, done: bool) {
    let intent = IntentDetail {
        timeout_ms: 1_000,
        idempotency_key: "k".into(),
        label: None,
        has_verify: false,
    };
    let record =
        NewRecord::new(0, Kind::Intent, key(name), hands.seq).with_detail(&intent).unwrap();
    rig.record(1, hands, record);
    if done {
        let detail = StepDetail { effect: Effect::Once, ..StepDetail::default() };
        let record =
            NewRecord::new(0, Kind::Step, key(name), hands.seq).with_detail(&detail).unwrap();
        rig.record(1, hands, record);
    }
}

#[test]
fn a_retry_over_a_once_step_must_say_so() {
    let mut rig = Rig::new();
    let run = rig.start_run();
    rig.worker(1);
    let (_, mut hands) = rig.take(1);
    once(&mut rig, &mut hands, "charge", true);
    rig.complete(1, &hands);
    let mut retry = RetryRequest { step: Some(key("charge")), ..RetryRequest::default() };
    let error = rig.try_request(Request::Verb(run, Verb::Retry(retry.clone()))).unwrap_err();
    assert_eq!(error.code, "once_in_range");
    assert!(error.hint.contains("--again charge"));
    retry.again = vec![key("charge")];
    rig.verb(run, Verb::Retry(retry));
}

#[test]
fn a_once_step_whose_outcome_lies_in_the_range_counts_though_its_intent_does_not() {
    let mut rig = Rig::new();
    let run = rig.start_run();
    rig.worker(1);
    let (_, mut hands) = rig.take(1);
    once(&mut rig, &mut hands, "charge", false);
    rig.step(1, &mut hands, "a");
    rig.record(1, &mut hands, NewRecord::new(0, Kind::Step, key("charge"), 1));
    rig.complete(1, &hands);
    let mut retry = RetryRequest { step: Some(key("a")), ..RetryRequest::default() };
    let error = rig.try_request(Request::Verb(run, Verb::Retry(retry.clone()))).unwrap_err();
    assert_eq!(error.code, "once_in_range");
    retry.again = vec![key("charge")];
    rig.verb(run, Verb::Retry(retry));
    let (start, _) = rig.take(1);
    let left: Vec<_> = start.journal.iter().map(polos_protocol::Record::kind).collect();
    assert_eq!(left, [Kind::Reset], "its intent is taken back too: it is not in doubt");
}

#[test]
fn a_person_settles_a_step_in_doubt() {
    let mut rig = Rig::new();
    let run = rig.start_run();
    rig.worker(1);
    let (_, mut hands) = rig.take(1);
    once(&mut rig, &mut hands, "charge", false);
    let wrong = SettleRequest { step: key("other"), done: None, not_done: true };
    assert_eq!(
        rig.try_request(Request::Verb(run, Verb::Settle(wrong))).unwrap_err().code,
        "not_in_doubt"
    );
    let settle = SettleRequest { step: key("charge"), done: Some(json("true")), not_done: false };
    rig.verb(run, Verb::Settle(settle));
    rig.frame(1, FromWorker::Release(reference(&hands)));
    let (start, _) = rig.take(1);
    assert_eq!(start.settled[0].key, key("charge"));
    assert_eq!(start.settled[0].done.as_ref().unwrap().text(), Some("true"));
}

#[test]
fn a_fork_begins_with_the_journal_up_to_a_step() {
    let mut rig = Rig::new();
    let run = rig.start_run();
    rig.worker(1);
    let (_, mut hands) = rig.take(1);
    for name in ["a", "b", "c"] {
        rig.step(1, &mut hands, name);
    }
    rig.complete(1, &hands);
    rig.frames(1);
    let fork = rig.verb(run, Verb::Fork(ForkRequest { at: Some(key("c")), input: None })).id;
    let (start, mut hands) = rig.take(1);
    assert_eq!((start.run, keys(&start.journal)), (fork, vec!["a".to_owned(), "b".to_owned()]));
    assert_eq!(*start.seed, *rig.run(run).row.seed);
    rig.step(1, &mut hands, "c");
    rig.complete(1, &hands);
    assert_eq!(rig.state(fork), State::Completed);
    assert_eq!(rig.run(fork).row.forked_from, Some(run));
}

#[test]
fn killing_runs_no_code() {
    let mut rig = Rig::new();
    let run = rig.start_run();
    rig.worker(1);
    let (_, mut hands) = rig.take(1);
    rig.verb(run, Verb::Kill(CancelRequest::default()));
    assert!(
        rig.frames(1)
            .iter()
            .any(|frame| matches!(frame, FromServer::Revoked(r) if r.code == "killed"))
    );
    assert_eq!(rig.state(run), State::Cancelled);
    rig.step(1, &mut hands, "late");
    assert_eq!(rig.journal(run), ["verb"]);
}

#[test]
fn a_run_that_never_ran_is_cancelled_at_once() {
    let mut rig = Rig::new();
    let run = rig.start_run();
    rig.verb(run, Verb::Cancel(CancelRequest { reason: Some("no more".into()) }));
    let status = rig.run(run).status;
    assert_eq!(status.state, State::Cancelled);
    assert!(status.error.unwrap().message.contains("no more"));
    rig.worker(1);
    assert!(rig.starts(1).is_empty());
}

#[test]
fn a_resumed_step_has_all_its_attempts_again() {
    let mut rig = Rig::new();
    let run = rig.start_run();
    rig.worker(1);
    let (_, mut hands) = rig.take(1);
    for attempt in 1..=2 {
        let detail = polos_protocol::record::AttemptDetail { attempt, next_ms: 0, message: None };
        let record = NewRecord::new(0, Kind::Attempt, key("b"), hands.seq);
        rig.record(1, &mut hands, record.with_detail(&detail).unwrap());
    }
    failing_step(&mut rig, &mut hands, "b");
    rig.frames(1);
    rig.verb(run, Verb::Resume(ResumeRequest::default()));
    let (start, _) = rig.take(1);
    assert!(start.journal.iter().all(|record| record.kind() != Kind::Attempt));
}

#[test]
fn a_resumed_once_step_is_still_in_doubt() {
    let mut rig = Rig::new();
    let run = rig.start_run();
    rig.worker(1);
    let (_, mut hands) = rig.take(1);
    once(&mut rig, &mut hands, "charge", false);
    failing_step(&mut rig, &mut hands, "charge");
    rig.frames(1);
    rig.verb(run, Verb::Resume(ResumeRequest::default()));
    let (start, _) = rig.take(1);
    let kinds: Vec<Kind> = start.journal.iter().map(polos_protocol::Record::kind).collect();
    assert!(kinds.contains(&Kind::Intent) && !kinds.contains(&Kind::Step), "{kinds:?}");
}

#[test]
fn an_older_build_takes_a_run_only_when_a_person_lets_it() {
    let mut rig = Rig::new();
    rig.worker(1);
    rig.pass(1);
    let mut newer = hello(2, 1);
    newer.build = "new".into();
    rig.connect(2, newer);
    rig.frame(1, FromWorker::Drain(Empty {}));
    let run = rig.start_run();
    let (_, mut hands) = rig.take(2);
    rig.step(2, &mut hands, "a");
    rig.frame(2, FromWorker::Drain(Empty {}));
    rig.frame(2, FromWorker::Release(reference(&hands)));
    rig.worker(3);
    assert!(rig.starts(3).is_empty());
    let Response::Why(why) = rig.request(Request::Explain(run)) else { unreachable!() };
    assert!(why.contains("drain"), "{why}");
    rig.input(Input::Disconnect { connection: ConnectionId(2) });
    let Response::Why(why) = rig.request(Request::Explain(run)) else { unreachable!() };
    assert!(why.contains("build `new` or a newer one") && why.contains("--any-build"), "{why}");
    rig.verb(run, Verb::Resume(ResumeRequest { any_build: true, ..ResumeRequest::default() }));
    assert_eq!(rig.take(3).0.run, run);
}

#[test]
fn a_run_ends_with_the_code_of_what_ended_it() {
    let mut rig = Rig::new();
    let code = |rig: &Rig, run| rig.run(run).status.error.unwrap().code;
    let killed = rig.start_run();
    rig.verb(killed, Verb::Kill(CancelRequest::default()));
    assert_eq!(code(&rig, killed), "killed");
    let cancelled = rig.start_run();
    let done = rig.verb(cancelled, Verb::Cancel(CancelRequest::default()));
    assert!(done.message.contains("no worker"), "{}", done.message);
    assert_eq!(code(&rig, cancelled), "cancelled");
    let mut late = StartRequest { workflow: "w".into(), ..StartRequest::default() };
    late.options.timeout_ms = Some(10);
    let late = rig.start(late);
    rig.pass(20);
    assert_eq!(code(&rig, late), "deadline_exceeded");
}
