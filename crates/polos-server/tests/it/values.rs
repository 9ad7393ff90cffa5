//! Values too large to stand in a record: kept apart, given back, and gone with their runs.

use crate::harness::{Api, LONG, Worker, refused};
use polos_engine::Request;
use polos_protocol::frame::{
    CompleteRequest, FetchRequest, FromServer, FromWorker, RecordRequest, RunRecords, Start,
    StoreRequest,
};
use polos_protocol::limits::{BLOB_BYTES_MAX, VALUE_INLINE_BYTES_MAX};
use polos_protocol::value::BlobRef;
use polos_protocol::{Kind, Namespace, NewRecord, RunId, State, StepKey, Value};
use polos_server::Call;
use polos_store::Read;
use reqwest::Method;
use serde_json::json;
use sha2::{Digest, Sha256};
use std::fmt::Write;

const PIECE_BYTES: usize = 256 << 10;

/// A JSON text of so many bytes.
fn text(bytes: usize) -> String {
    format!("\"{}\"", "v".repeat(bytes - 2))
}

fn reference(text: &str) -> BlobRef {
    let hash = Sha256::digest(text).iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    });
    BlobRef { hash: hash.into(), size: text.len() as u64 }
}

fn body(input: &str) -> String {
    format!(r#"{{"workflow":"wf","input":{input}}}"#)
}

async fn start(api: &Api, input: &str) -> RunId {
    let request = api.request(Method::POST, "/v1/runs").header("content-type", "application/json");
    let answer = request.body(body(input)).send().await.unwrap();
    assert_eq!(answer.status(), 201, "{} bytes", input.len());
    answer.json::<serde_json::Value>().await.unwrap()["id"].as_str().unwrap().parse().unwrap()
}

async fn fetch(worker: &mut Worker, run: RunId, name: &str) -> String {
    worker.send(&FromWorker::Fetch(FetchRequest { run, hash: name.into() })).await;
    let mut text = String::new();
    loop {
        let FromServer::Blob(piece) = worker.receive().await else { panic!("no piece") };
        text.push_str(&piece.text);
        if text.len() as u64 >= piece.size {
            return text;
        }
    }
}

async fn store(worker: &mut Worker, run: RunId, text: &str) -> Value {
    let BlobRef { hash, size } = reference(text);
    for offset in (0..text.len()).step_by(PIECE_BYTES) {
        let piece = text[offset..(offset + PIECE_BYTES).min(text.len())].to_owned();
        let (hash, offset) = (hash.clone(), offset as u64);
        let piece = StoreRequest { run, hash, size, offset, text: piece };
        worker.send(&FromWorker::Store(piece)).await;
    }
    let FromServer::Stored(stored) = worker.receive().await else { panic!("not stored") };
    assert_eq!(stored.hash, hash);
    Value::from_reference(BlobRef { hash, size })
}

async fn record(worker: &mut Worker, start: &Start, value: Value) {
    let mut record = NewRecord::new(1, Kind::Step, StepKey::run().child("s", 1), 0);
    record.value = Some(value);
    let (run, assignment, records) = (start.run, start.assignment, vec![record]);
    let runs = vec![RunRecords { run, assignment, records }];
    worker.send(&FromWorker::Record(RecordRequest { runs })).await;
}

async fn complete(worker: &mut Worker, start: &Start, n: u64, value: Value) {
    let (run, assignment) = (start.run, start.assignment);
    let request = CompleteRequest { run, assignment, n, value };
    worker.send(&FromWorker::Complete(request)).await;
}

#[tokio::test]
async fn an_input_of_any_size_up_to_the_limit_reaches_its_run() {
    let api = Api::start().await;
    let mut worker = api.connect().await;
    for bytes in [64 << 10, VALUE_INLINE_BYTES_MAX, 5 << 20, BLOB_BYTES_MAX] {
        let input = text(bytes);
        let id = start(&api, &input).await;
        let start = worker.take_run().await;
        let named = start.input.reference().unwrap();
        assert_eq!((start.run, named.size), (id, bytes as u64));
        let back = fetch(&mut worker, id, &named.hash).await;
        assert!(back == input, "{bytes} bytes came back as {}", back.len());
        let shown: serde_json::Value = api.get(&format!("/v1/runs/{id}")).await;
        assert_eq!(shown["input"].as_str().unwrap().len() + 2, bytes);
    }
}

#[tokio::test]
async fn what_is_above_the_limit_is_refused_with_the_way_out() {
    let api = Api::start().await;
    let large = text(BLOB_BYTES_MAX + 1);
    let limit = BLOB_BYTES_MAX.to_string();
    let event = format!(r#"{{"topic":"t","payload":{}}}"#, text(VALUE_INLINE_BYTES_MAX + 1));
    let inline = VALUE_INLINE_BYTES_MAX.to_string();
    for (path, body, limit) in [("/v1/runs", body(&large), limit), ("/v1/events", event, inline)] {
        let request = api.request(Method::POST, path).header("content-type", "application/json");
        let (status, error) = refused(request.body(body)).await;
        assert_eq!((status.as_u16(), error.code.as_str()), (413, "value_too_large"), "{path}");
        assert!(error.message.contains(&limit), "{}", error.message);
        assert!(error.hint.contains("file or a bucket"), "{}", error.hint);
    }
}

#[tokio::test]
async fn a_start_key_means_the_same_large_input() {
    let api = Api::start().await;
    let start = async |input: &str| {
        let body = format!(r#"{{"workflow":"wf","key":"k","input":{input}}}"#);
        let request = api.request(Method::POST, "/v1/runs");
        let request = request.header("content-type", "application/json").body(body);
        request.send().await.unwrap().status().as_u16()
    };
    let input = text(2 << 20);
    assert_eq!([start(&input).await, start(&input).await], [201, 200]);
    assert_eq!(start(&text((2 << 20) + 1)).await, 409);
}

#[tokio::test]
async fn a_value_outlives_the_worker_that_stored_it_and_goes_with_its_run() {
    let api = Api::with(|options| options.engine.grace_ms = 0).await;
    let id = api.start_run(json!(1)).await.parse().unwrap();
    let mut doomed = api.connect().await;
    doomed.take_run().await;
    let (value, output) = (text(3 << 20), text(2 << 20));
    // It dies between the upload and the record: the step was not done.
    store(&mut doomed, id, &value).await;
    drop(doomed);
    let mut heir = api.connect().await;
    let start = heir.take_run().await;
    assert_eq!((start.seq, start.journal.len()), (0, 0));
    let kept = store(&mut heir, id, &value).await;
    record(&mut heir, &start, kept.clone()).await;
    assert!(matches!(heir.receive().await, FromServer::Recorded(_)));
    let named = kept.reference().unwrap();
    assert!(fetch(&mut heir, id, &named.hash).await == value);
    let kept = store(&mut heir, id, &output).await;
    complete(&mut heir, &start, 1, kept).await;
    assert!(matches!(heir.receive().await, FromServer::Done(_)));
    let result: serde_json::Value = api.get(&format!("/v1/runs/{id}/result")).await;
    assert_eq!(result["output"].as_str().unwrap().len() + 2, output.len());
    let blobs = || {
        let blob = |text: &str| api.store.blob(&Namespace::default(), &reference(text).hash);
        [&value, &output].map(|text| blob(text).unwrap().is_some())
    };
    assert_eq!(blobs(), [true, true]);
    let call = Call {
        namespace: Namespace::default(),
        principal: "test".into(),
        request: Request::Retain(u64::MAX),
        audit: None,
    };
    api.handle.request(call).await.unwrap();
    assert_eq!(blobs(), [false, false]);
}

/// The state of a run once it is neither queued nor running.
async fn settled(api: &Api, id: RunId) -> (State, String) {
    let path = format!("/v1/runs/{id}/result?wait_ms={}", LONG.as_millis());
    let result: serde_json::Value = api.get(&path).await;
    let shown: serde_json::Value = api.get(&format!("/v1/runs/{id}")).await;
    let state = serde_json::from_value(result["state"].clone()).unwrap();
    (state, shown["blocked"]["message"].as_str().unwrap_or_default().to_owned())
}

#[tokio::test]
async fn a_reference_to_what_was_never_stored_blocks_its_run_only() {
    let api = Api::start().await;
    let mut worker = api.connect().await;
    let lies = |start: &Start, kept: &Value| {
        let kept = kept.reference().unwrap().clone();
        let unknown = BlobRef { hash: "ab".repeat(32).into(), size: 9 };
        let place = BlobRef { hash: format!("{}/input", start.run).into(), size: 1 };
        let other_size = BlobRef { size: kept.size + 1, ..kept };
        [unknown, place, other_size].map(Value::from_reference)
    };
    for lie in 0..3 {
        for completes in [false, true] {
            let id = api.start_run(json!(lie)).await.parse().unwrap();
            let start = worker.take_run().await;
            let kept = store(&mut worker, id, &text(2 << 20)).await;
            let [unknown, place, other_size] = lies(&start, &kept);
            let value = [unknown, place, other_size].into_iter().nth(lie).unwrap();
            if completes {
                complete(&mut worker, &start, 0, value).await;
            } else {
                record(&mut worker, &start, value).await;
            }
            let FromServer::Revoked(revoked) = worker.receive().await else { panic!("taken") };
            assert_eq!((revoked.run, revoked.code.as_str()), (id, "invalid"));
            let (state, why) = settled(&api, id).await;
            assert_eq!(state, State::Blocked);
            assert!(why.contains("does not fit the journal"), "{why}");
        }
    }
}
