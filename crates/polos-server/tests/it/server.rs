//! The server's life: address, token, one commit for many, virtual time.

use crate::harness::{Api, options};
use polos_protocol::frame::{
    FromServer, FromWorker, ParkRequest, RecordRequest, RunRecords, WaitRequest,
};
use polos_protocol::record::Open;
use polos_protocol::rest::{ServerAddress, Version};
use polos_protocol::{Kind, NewRecord, StepKey, Wait};
use polos_server::{Clock, serve};
use polos_store::sqlite;
use polos_testkit::store::{Fault, Memory};
use reqwest::Method;
use serde_json::{Value, json};
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

#[tokio::test]
async fn the_address_is_announced_while_it_serves() {
    let api = Api::start().await;
    let path = api.directory.path().join("server.json");
    let address: ServerAddress = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    assert_eq!((address.url, address.pid), (api.url.clone(), std::process::id()));
    for file in ["server.json", "token"] {
        let mode = std::fs::metadata(api.directory.path().join(file)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }
    let version: Version = api.get("/v1/version").await;
    assert_eq!((version.protocol, version.incarnation), ([1, 1], 1));
    let token = api.token.clone();
    assert_eq!(std::fs::read_to_string(api.directory.path().join("token")).unwrap().trim(), token);
    api.stop().await.unwrap();
    assert!(!path.exists());
}

#[tokio::test]
async fn an_address_in_use_or_none_at_all_is_refused() {
    let api = Api::start().await;
    let directory = tempfile::tempdir().unwrap();
    let taken = api.url.strip_prefix("http://").unwrap().to_owned();
    for (listen, expect) in [(taken, "cannot listen"), ("nope".into(), "not an address")] {
        let mut options = options(&directory);
        options.listen = listen;
        let error = serve(options, Arc::new(Memory::new())).await.unwrap_err().to_string();
        assert!(error.contains(expect) && error.contains("hint"), "{error}");
    }
}

#[tokio::test]
async fn a_stopped_server_goes_on_where_it_was() {
    let directory = tempfile::tempdir().unwrap();
    let mut ids = Vec::new();
    for round in 0..2 {
        let store = sqlite::Store::open(directory.path(), sqlite::Options::default()).unwrap();
        let server = serve(options(&directory), Arc::new(store)).await.unwrap();
        rustls::crypto::ring::default_provider().install_default().ok();
        let client = reqwest::Client::new();
        let url = format!("{}/v1/runs", server.url());
        let start = client.post(&url).bearer_auth(server.token());
        let start = start.json(&json!({ "workflow": "wf" })).send().await.unwrap();
        ids.push(start.json::<Value>().await.unwrap()["id"].clone());
        let list = client.get(&url).bearer_auth(server.token()).send().await.unwrap();
        let list: Value = list.json().await.unwrap();
        let listed: Vec<_> = list["items"].as_array().unwrap().iter().map(|r| &r["id"]).collect();
        assert_eq!(listed.len(), round + 1);
        assert!(ids.iter().all(|id| listed.contains(&id)));
        server.stop().await.unwrap();
    }
}

#[tokio::test]
async fn what_waits_shares_a_commit() {
    let api = Api::start().await;
    let commits = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&commits);
    api.store.set_plan(move |_| {
        counted.fetch_add(1, Ordering::Relaxed);
        std::thread::sleep(std::time::Duration::from_millis(20));
        Fault::None
    });
    let start = || api.request(Method::POST, "/v1/runs").json(&json!({ "workflow": "wf" })).send();
    let all = futures_util::future::join_all((0..64).map(|_| start())).await;
    assert!(all.into_iter().all(|response| response.unwrap().status() == 201));
    let commits = commits.load(Ordering::Relaxed);
    assert!(commits < 20, "{commits} commits for 64 starts");
}

#[tokio::test]
async fn a_virtual_clock_skips_to_the_next_timer() {
    const DAY_MS: u64 = 24 * 3600 * 1000;
    let api = Api::with(|options| options.clock = Clock::virtual_from(1_000_000)).await;
    let id = api.start_run(json!(1)).await;
    let mut worker = api.connect().await;
    let start = worker.take_run().await;
    let (run, assignment) = (start.run, start.assignment);
    let key = StepKey::run().child("sleep", 1);
    let open = NewRecord::new(1, Kind::Open, key.clone(), 0);
    let open = open.with_detail(&Open::Timer { at: start.now + 30 * DAY_MS }).unwrap();
    let runs = vec![RunRecords { run, assignment, records: vec![open] }];
    worker.send(&FromWorker::Record(RecordRequest { runs })).await;
    let FromServer::Recorded(_) = worker.receive().await else { panic!("not recorded") };
    let wait = Wait::Key(key);
    let hot = WaitRequest { run, assignment, seq: 1, n: 1, wait: wait.clone() };
    worker.send(&FromWorker::Wait(hot)).await;
    worker.send(&FromWorker::Park(ParkRequest { run, assignment, seq: 1, n: 1, wait })).await;
    let FromServer::Done(_) = worker.receive().await else { panic!("not parked") };
    let again = worker.take_run().await;
    assert_eq!(again.run.to_string(), id);
    assert!(again.now >= start.now + 30 * DAY_MS, "a month has passed");
    let version: Version = api.get("/v1/version").await;
    assert!(version.now >= start.now + 30 * DAY_MS && version.now < start.now + 31 * DAY_MS);
}

#[tokio::test]
async fn sessions_queues_and_events_have_their_calls() {
    let api = Api::start().await;
    let session = api.post("/v1/sessions", json!({ "title": "t", "metadata": { "a": 1 } })).await;
    let id = session["id"].as_str().unwrap();
    let run = json!({ "workflow": "wf", "input": "hi", "options": { "session": id } });
    let run = api.post("/v1/runs", run).await;
    let shown: Value = api.get(&format!("/v1/sessions/{id}")).await;
    assert_eq!(shown["title"], "t");
    let listed: Value = api.get("/v1/sessions").await;
    assert_eq!(listed["items"].as_array().unwrap().len(), 1);
    let turns: Value = api.get(&format!("/v1/sessions/{id}/turns")).await;
    assert_eq!(
        (&turns["items"][0]["run"], &turns["items"][0]["input"]),
        (&run["id"], &json!("hi"))
    );

    let paused = api.post("/v1/queues/q/pause", json!({})).await;
    assert_eq!(paused["paused"], true);
    let put = api.request(Method::PUT, "/v1/queues/q").json(&json!({ "concurrency": 2 }));
    let put: Value = put.send().await.unwrap().json().await.unwrap();
    assert_eq!((&put["concurrency"], &put["paused"]), (&json!(2), &json!(true)), "it stays paused");
    let resumed = api.post("/v1/queues/q/resume", json!({})).await;
    assert!(resumed.get("paused").is_none_or(|paused| paused == false));
    let queues: Value = api.get("/v1/queues").await;
    let names: Vec<_> = queues["items"].as_array().unwrap().iter().map(|q| &q["name"]).collect();
    assert_eq!(names, ["default", "q"]);

    let event = json!({ "topic": "t", "payload": { "b": 1 }, "key": "k" });
    let first = api.request(Method::POST, "/v1/events").json(&event).send().await.unwrap();
    assert_eq!(first.status(), 201);
    let again = api.request(Method::POST, "/v1/events").json(&event).send().await.unwrap();
    assert_eq!(again.status(), 200);
    let approvals: Value = api.get("/v1/approvals?state=pending").await;
    assert_eq!(approvals["items"], json!([]));
}
