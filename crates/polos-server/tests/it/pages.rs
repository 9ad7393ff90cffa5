//! Journals on their way to a worker: pages under credit between other frames, large values by
//! reference.

use crate::harness::{Api, Worker};
use polos_protocol::frame::{
    Append, FetchRequest, FromServer, FromWorker, MoreRequest, RecordRequest, RunRecords, RunRef,
    Start,
};
use polos_protocol::limits::{JOURNAL_PAGE_BYTES, VALUE_BY_REFERENCE_BYTES};
use polos_protocol::{Kind, NewRecord, RunId, StepKey, Value};
use serde_json::json;

/// Records that fill some six pages.
const RECORDS: u32 = 3000;
const VALUE_BYTES: usize = 400;

fn record(n: u32, bytes: usize) -> NewRecord {
    let key = StepKey::run().child("s", n);
    let mut record = NewRecord::new(n.into(), Kind::Step, key, 0);
    record.value = Some(Value::from_serialize(&"x".repeat(bytes)).unwrap());
    record.traceparent = Some("00-1-2-03".into());
    record
}

async fn send(worker: &mut Worker, start: &Start, records: Vec<NewRecord>) {
    let runs = vec![RunRecords { run: start.run, assignment: start.assignment, records }];
    worker.send(&FromWorker::Record(RecordRequest { runs })).await;
    assert!(matches!(worker.receive().await, FromServer::Recorded(_)));
}

async fn give_back(worker: &mut Worker, start: &Start) {
    let (run, assignment) = (start.run, start.assignment);
    worker.send(&FromWorker::Release(RunRef { run, assignment })).await;
    assert!(matches!(worker.receive().await, FromServer::Done(done) if done.run == run));
}

/// A worker of two pages, and a run with a long journal that it is given for the second time.
async fn long(api: &Api) -> (Worker, Start) {
    api.start_run(json!(1)).await;
    let mut worker = api.connect().await;
    let first = worker.take_run().await;
    for n in (1..=RECORDS).step_by(500) {
        let records = (n..n + 500).map(|n| record(n, VALUE_BYTES)).collect();
        send(&mut worker, &first, records).await;
    }
    give_back(&mut worker, &first).await;
    let second = worker.take_run().await;
    assert_eq!((second.run, second.assignment), (first.run, 2));
    assert_eq!((second.journal.len(), second.seq), (0, u64::from(RECORDS)));
    (worker, second)
}

async fn page(worker: &mut Worker) -> Append {
    match worker.receive().await {
        FromServer::Append(append) => append,
        other => panic!("{other:?} instead of a page"),
    }
}

async fn more(worker: &mut Worker, run: RunId, seq: u64) {
    worker.send(&FromWorker::More(MoreRequest { run, assignment: 2, seq })).await;
}

#[tokio::test]
async fn pages_come_under_credit_and_between_other_frames() {
    let api = Api::start().await;
    let (mut worker, start) = long(&api).await;
    let mut pages = vec![page(&mut worker).await, page(&mut worker).await];
    // There is no credit for a third one; what else is to be said is not held up by that.
    let other = api.start_run(json!(2)).await;
    assert_eq!(worker.take_run().await.run.to_string(), other);
    // What comes while the pages are on their way stands behind them.
    api.post(&format!("/v1/runs/{}/cancel", start.run), json!({})).await;
    let mut answered = 0;
    while pages.last().unwrap().more {
        more(&mut worker, start.run, pages[answered].seq).await;
        answered += 1;
        pages.push(page(&mut worker).await);
    }
    assert!(pages.len() >= 5, "{} pages", pages.len());
    for append in &pages {
        assert!(FromServer::Append(append.clone()).to_text().len() < 2 * JOURNAL_PAGE_BYTES);
    }
    let records: Vec<_> = pages.iter().flat_map(|page| &page.records).collect();
    assert!(records.iter().map(|record| record.seq).eq(1..=u64::from(RECORDS)));
    assert!(records.iter().all(|r| r.worker.is_none() && r.record.traceparent.is_none()));
    let cancel = page(&mut worker).await;
    assert_eq!((cancel.seq, cancel.more), (u64::from(RECORDS) + 1, false));
    assert_eq!(cancel.records[0].kind(), Kind::Cancel);
}

#[tokio::test]
async fn an_answer_to_a_page_that_was_not_sent_ends_the_connection() {
    let api = Api::start().await;
    let (mut worker, start) = long(&api).await;
    let mut bystander = api.connect().await;
    let seq = page(&mut worker).await.seq.max(page(&mut worker).await.seq);
    more(&mut worker, start.run, seq + 1).await;
    assert_eq!(worker.error().await, "page_out_of_order");
    // The run goes to who is left.
    assert_eq!(bystander.take_run().await.run, start.run);
}

#[tokio::test]
async fn an_answer_when_nothing_is_under_way_is_checked_too() {
    let api = Api::start().await;
    api.start_run(json!(1)).await;
    let mut worker = api.connect().await;
    let start = worker.take_run().await;
    let ahead = MoreRequest { run: start.run, assignment: start.assignment, seq: 7 };
    worker.send(&FromWorker::More(ahead)).await;
    assert_eq!(worker.error().await, "page_out_of_order");
}

async fn fetch(worker: &mut Worker, run: RunId, name: &str) -> String {
    worker.send(&FromWorker::Fetch(FetchRequest { run, hash: name.into() })).await;
    let mut text = String::new();
    loop {
        let FromServer::Blob(piece) = worker.receive().await else { panic!("no piece") };
        assert_eq!((&*piece.hash, piece.offset), (name, text.len() as u64));
        text.push_str(&piece.text);
        if text.len() as u64 >= piece.size {
            return text;
        }
    }
}

#[tokio::test]
async fn large_values_stand_by_reference_and_are_fetched() {
    let api = Api::start().await;
    let input = "i".repeat(VALUE_BY_REFERENCE_BYTES);
    api.start_run(json!(input)).await;
    let mut worker = api.connect().await;
    let first = worker.take_run().await;
    let reference = first.input.reference().unwrap().clone();
    assert_eq!(fetch(&mut worker, first.run, &reference.hash).await, json!(input).to_string());
    let sizes = [VALUE_BY_REFERENCE_BYTES - 2, 64 << 10, (1 << 20) - 2];
    for (n, bytes) in (1..).zip(sizes) {
        send(&mut worker, &first, vec![record(n, bytes)]).await;
    }
    give_back(&mut worker, &first).await;
    let second = worker.take_run().await;
    for (bytes, record) in sizes.into_iter().zip(&second.journal) {
        let value = record.record.value.as_ref().unwrap();
        let Some(reference) = value.reference() else {
            assert_eq!(value.size(), VALUE_BY_REFERENCE_BYTES as u64, "this one stands inline");
            continue;
        };
        assert_eq!(reference.size, bytes as u64 + 2);
        let text = fetch(&mut worker, second.run, &reference.hash).await;
        let whole = json!("x".repeat(bytes)).to_string();
        assert!(text == whole);
    }
    assert_eq!(second.journal.len(), sizes.len());
    for name in [format!("{}/99", second.run), format!("{}/1", RunId::from_bytes([9; 16]))] {
        assert_eq!(fetch(&mut worker, second.run, &name).await, "");
    }
}
