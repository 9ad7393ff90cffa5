//! What is refused where it is asked for, because taken it would be lost in silence.

use crate::rig::{Hands, Rig, json, key};
use polos_engine::{Request, Response};
use polos_protocol::record::{
    EmitDetail, Kind, NewRecord, Open, OpenApproval, OpenChild, OpenEvent, RunOptions,
};
use polos_protocol::rest::{Approval, ApprovalState, DecideRequest, PublishRequest};
use polos_protocol::value::BlobRef;
use polos_protocol::{ApprovalId, Namespace, RunId, SessionId, Value};
use polos_store::Read;
use polos_store::read::PageRequest;

fn working(rig: &mut Rig) -> Hands {
    rig.start_run();
    rig.worker(1);
    rig.take(1).1
}

/// Opens a wait and gives back the error with which it was resolved at once.
fn refusal(open: &Open) -> (String, String) {
    let mut rig = Rig::new();
    let mut hands = working(&mut rig);
    let record = NewRecord::new(0, Kind::Open, key("x"), 0).with_detail(open).unwrap();
    rig.record(1, &mut hands, record);
    let journal = rig.store.journal(&Namespace::default(), hands.run, 0, usize::MAX).unwrap();
    let last = journal.last().unwrap();
    let error = last.record.error.clone().unwrap();
    (error.code, error.message)
}

fn child() -> OpenChild {
    OpenChild {
        workflow: "child".into(),
        input: Value::default(),
        options: RunOptions::default(),
        detached: false,
    }
}

#[test]
fn a_child_is_held_to_the_same_rules_as_a_start() {
    let mut bad_queue = child();
    bad_queue.options.queue = Some("a\nb".into());
    let mut lost_session = child();
    lost_session.options.session = Some(SessionId::from_parts(1, [0; 10]));
    let mut labelled = child();
    labelled.options.labels = (0..100).map(|i| (format!("l{i}"), "x".into())).collect();
    for (child, why) in [(bad_queue, "queue"), (lost_session, "session"), (labelled, "labels")] {
        let (code, message) = refusal(&Open::Child(child));
        assert_eq!(code, "child_refused");
        assert!(message.contains(why), "{message}");
    }
}

#[test]
fn nobody_waits_on_a_topic_that_nobody_can_publish_on() {
    for signal in [true, false] {
        let topic = String::new();
        let (code, _) = refusal(&Open::Event(OpenEvent { topic, signal, deadline_ms: None }));
        assert_eq!(code, "bad_name");
    }
}

fn publish(
    rig: &mut Rig,
    topic: &str,
    payload: &str,
    run: Option<RunId>,
) -> Result<bool, &'static str> {
    let key = Some("k".to_owned());
    let request = PublishRequest { topic: topic.into(), payload: json(payload), run, key };
    match rig.try_request(Request::Publish(request)) {
        Ok(Response::Published(published)) => Ok(published.existing),
        Ok(_) => unreachable!(),
        Err(error) => Err(error.code),
    }
}

#[test]
fn a_key_publishes_one_payload_on_its_topic() {
    let mut rig = Rig::new();
    let run = rig.start_run();
    for to in [None, Some(run)] {
        assert_eq!(publish(&mut rig, "t", "1", to), Ok(false));
        assert_eq!(publish(&mut rig, "t", "1", to), Ok(true));
        assert_eq!(publish(&mut rig, "t", "2", to), Err("event_key_conflict"));
        assert_eq!(publish(&mut rig, "another", "2", to), Ok(false));
    }
}

fn asked(rig: &mut Rig, question: OpenApproval) -> ApprovalId {
    let mut hands = working(rig);
    let record = NewRecord::new(0, Kind::Open, key("ask"), 0)
        .with_detail(&Open::Approval(question))
        .unwrap();
    rig.record(1, &mut hands, record);
    let page = PageRequest { cursor: None, limit: 1 };
    let run = Some(hands.run);
    rig.store.approvals(&Namespace::default(), None, run, &page).unwrap().items[0].approval.id
}

fn decide(rig: &mut Rig, id: ApprovalId, request: DecideRequest) -> Result<Approval, &'static str> {
    match rig.try_request(Request::Decide(id, request)) {
        Ok(Response::Decided(approval)) => Ok(*approval),
        Ok(_) => unreachable!(),
        Err(error) => Err(error.code),
    }
}

#[test]
fn a_yes_reaches_only_as_far_as_the_question_offers() {
    let mut rig = Rig::new();
    let question = OpenApproval { scopes: vec!["run".into()], ..OpenApproval::default() };
    let id = asked(&mut rig, question);
    let yes = |scope: &str| DecideRequest {
        approved: true,
        scope: Some(scope.into()),
        ..DecideRequest::default()
    };
    assert_eq!(decide(&mut rig, id, yes("always")).unwrap_err(), "scope_not_offered");
    assert_eq!(decide(&mut rig, id, yes("")).unwrap_err(), "scope_not_offered");
    assert_eq!(decide(&mut rig, id, yes("run")).unwrap().state, ApprovalState::Approved);
}

#[test]
fn another_value_is_another_decision() {
    let mut rig = Rig::new();
    let id = asked(&mut rig, OpenApproval::default());
    let with = |value: u32| DecideRequest {
        approved: true,
        value: Some(value.into()),
        ..DecideRequest::default()
    };
    assert!(decide(&mut rig, id, with(1)).is_ok());
    assert!(decide(&mut rig, id, with(1)).is_ok(), "the same answer again");
    assert_eq!(decide(&mut rig, id, with(2)).unwrap_err(), "already_decided");
}

#[test]
fn an_event_cannot_carry_what_is_kept_apart() {
    let mut rig = Rig::new();
    let mut hands = working(&mut rig);
    let detail = EmitDetail { topic: "t".into(), run: None };
    let mut record = NewRecord::new(0, Kind::Emit, key("e"), 0).with_detail(&detail).unwrap();
    record.value = Some(Value::from_reference(BlobRef { hash: "h".into(), size: 2 << 20 }));
    rig.record(1, &mut hands, record);
    let blocked = rig.run(hands.run).status.blocked.unwrap();
    assert!(blocked.message.contains("the payload of an event has 2097152 bytes"), "{blocked:?}");
    assert_eq!(rig.store.topic_head(&Namespace::default(), "t").unwrap(), 0);
}
