//! Following a run: events in order, resumed by position, ended by the run's end.

use crate::harness::{Api, LONG, Worker, refused};
use futures_util::StreamExt;
use polos_protocol::frame::{
    CompleteRequest, FromServer, FromWorker, RecordRequest, RunRecords, Start, StreamItem,
    StreamRequest,
};
use polos_protocol::{Kind, NewRecord, StepKey, Value as Envelope};
use reqwest::{Method, Response};
use serde_json::{Value, json};

#[derive(Debug, Clone, PartialEq)]
struct Event {
    name: String,
    id: String,
    data: Value,
}

struct Events {
    stream: std::pin::Pin<Box<dyn futures_util::Stream<Item = reqwest::Result<bytes::Bytes>>>>,
    text: String,
}

impl Events {
    async fn open(api: &Api, run: &str, last: Option<&str>) -> Self {
        let mut request = api.request(Method::GET, &format!("/v1/runs/{run}/events"));
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        let response: Response = request.send().await.unwrap();
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self { stream: Box::pin(response.bytes_stream()), text: String::new() }
    }

    /// The next event; `None` at the end of the stream.
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(end) = self.text.find("\n\n") {
                let block: String = self.text.drain(..end + 2).collect();
                let field = |name: &str| {
                    let line = block.lines().find_map(|line| line.strip_prefix(name));
                    line.map(|text| text.trim_start().to_owned())
                };
                let Some(data) = field("data:") else { continue };
                return Some(Event {
                    name: field("event:").unwrap(),
                    id: field("id:").unwrap(),
                    data: serde_json::from_str(&data).unwrap(),
                });
            }
            let piece = tokio::time::timeout(LONG, self.stream.next()).await.unwrap()?;
            self.text.push_str(std::str::from_utf8(&piece.unwrap()).unwrap());
        }
    }

    async fn rest(mut self) -> Vec<Event> {
        let mut events = Vec::new();
        while let Some(event) = self.next().await {
            events.push(event);
        }
        events
    }
}

async fn record(worker: &mut Worker, start: &Start, n: u64, value: &str) {
    let mut record = NewRecord::new(n, Kind::Step, StepKey::run().child(&format!("s{n}"), 1), 0);
    record.value = Some(Envelope::from_text(value).unwrap());
    let (run, assignment) = (start.run, start.assignment);
    let runs = vec![RunRecords { run, assignment, records: vec![record] }];
    worker.send(&FromWorker::Record(RecordRequest { runs })).await;
    let FromServer::Recorded(_) = worker.receive().await else { panic!("not recorded") };
}

async fn stream(worker: &mut Worker, start: &Start, text: &str) {
    let item = StreamItem {
        key: StepKey::run().child("s", 1),
        attempt: 1,
        kind: "text".into(),
        data: Envelope::from_serialize(text).unwrap(),
    };
    let (run, assignment) = (start.run, start.assignment);
    worker.send(&FromWorker::Stream(StreamRequest { run, assignment, items: vec![item] })).await;
}

fn ids(events: &[Event]) -> Vec<(&str, &str)> {
    events.iter().map(|event| (event.name.as_str(), event.id.as_str())).collect()
}

#[tokio::test]
async fn a_run_is_followed_live_and_again_from_any_place() {
    let api = Api::start().await;
    let id = api.start_run(json!(1)).await;
    let mut worker = api.connect().await;
    let start = worker.take_run().await;
    let mut live = Events::open(&api, &id, None).await;
    let first = live.next().await.unwrap();
    assert_eq!((first.name.as_str(), first.id.as_str()), ("state", "0.0"));
    assert_eq!(first.data["state"]["state"], "running");

    stream(&mut worker, &start, "tok").await;
    record(&mut worker, &start, 1, "11").await;
    let mut seen = vec![live.next().await.unwrap(), live.next().await.unwrap()];
    assert_eq!(ids(&seen), [("stream", "0.1"), ("record", "1.1")]);
    assert_eq!(seen[0].data["stream"]["item"]["data"]["v"], "tok");
    assert_eq!(seen[1].data["record"]["record"]["value"]["v"], 11);

    let large = format!("\"{}\"", "x".repeat(40_000));
    record(&mut worker, &start, 2, &large).await;
    let value = Envelope::null();
    let (run, assignment) = (start.run, start.assignment);
    worker.send(&FromWorker::Complete(CompleteRequest { run, assignment, n: 2, value })).await;
    seen.extend(live.rest().await);
    assert_eq!(
        ids(&seen),
        [("stream", "0.1"), ("record", "1.1"), ("record", "2.1"), ("state", "2.1")]
    );
    assert!(seen[2].data["record"]["record"].get("value").is_none(), "large values are left out");
    assert_eq!(seen[3].data["state"]["state"], "completed");

    // Afterwards the whole can be had again, or what follows any event.
    assert_eq!(Events::open(&api, &id, None).await.rest().await, seen);
    assert_eq!(Events::open(&api, &id, Some("0.1")).await.rest().await, seen[1..]);
    assert_eq!(Events::open(&api, &id, Some("1.1")).await.rest().await, seen[2..]);
    assert_eq!(Events::open(&api, &id, Some("2.1")).await.rest().await, seen[3..]);
    let bad = api.request(Method::GET, &format!("/v1/runs/{id}/events"));
    let (_, error) = refused(bad.header("last-event-id", "nope")).await;
    assert_eq!(error.code, "invalid_parameter");
}

#[tokio::test]
async fn listeners_are_let_go_when_the_server_stops() {
    let api = Api::start().await;
    let id = api.start_run(json!(1)).await;
    let events = Events::open(&api, &id, None).await;
    let waiting = api.request(Method::GET, &format!("/v1/runs/{id}/result?wait_ms=60000"));
    let waiting = tokio::spawn(waiting.send());
    // The answer of a call after it shows that the server has the one before it.
    api.start_run(json!(2)).await;
    api.stop().await.unwrap();
    let names: Vec<_> = events.rest().await.into_iter().map(|event| event.name).collect();
    assert_eq!(names, ["state"]);
    drop(waiting);
}
