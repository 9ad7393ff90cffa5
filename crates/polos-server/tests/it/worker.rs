//! A worker's connection: values by reference, the in-process transport, death of a process.

use crate::harness::{Api, LONG, Worker, hello};
use polos_protocol::WorkerId;
use polos_protocol::frame::{FetchRequest, FromServer, FromWorker, Hello, Host, StoreRequest};
use polos_protocol::{Namespace, rest::Page, rest::WorkerStatus};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::fmt::Write;

fn hash(text: &str) -> String {
    Sha256::digest(text).iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

#[tokio::test]
async fn values_are_kept_and_given_back_in_pieces() {
    let api = Api::start().await;
    let run = api.start_run(json!(1)).await.parse().unwrap();
    let mut worker = api.connect().await;
    worker.take_run().await;
    let whole = format!("\"{}\"", "é\\n".repeat(400_000));
    let name = hash(&whole);
    let mut offset = 0;
    while offset < whole.len() {
        let end = whole.floor_char_boundary((offset + 300_001).min(whole.len()));
        let piece = StoreRequest {
            run,
            hash: name.as_str().into(),
            size: whole.len() as u64,
            offset: offset as u64,
            text: whole[offset..end].into(),
        };
        worker.send(&FromWorker::Store(piece)).await;
        offset = end;
    }
    let FromServer::Stored(stored) = worker.receive().await else { panic!("not stored") };
    assert_eq!(*stored.hash, name);

    worker.send(&FromWorker::Fetch(FetchRequest { run, hash: name.as_str().into() })).await;
    let mut back = String::new();
    while back.len() < whole.len() {
        let FromServer::Blob(piece) = worker.receive().await else { panic!("no piece") };
        assert_eq!(piece.offset, back.len() as u64);
        assert_eq!(piece.size, whole.len() as u64);
        back.push_str(&piece.text);
    }
    assert!(back == whole);
    worker.send(&FromWorker::Fetch(FetchRequest { run, hash: "none".into() })).await;
    let FromServer::Blob(none) = worker.receive().await else { panic!("no answer") };
    assert_eq!(none.size, 0);
}

#[tokio::test]
async fn a_worker_of_the_process_is_as_any_other() {
    let api = Api::start().await;
    let (to, mut from) = api.handle.attach_worker(Namespace::default());
    let worker = WorkerId::from_bytes([3; 16]);
    to.send(FromWorker::Hello(hello(worker, 1)).to_text()).await.unwrap();
    let welcome = from.recv().await.unwrap();
    assert!(welcome.starts_with(r#"{"type":"welcome""#), "{welcome}");
    let id = api.start_run(json!(1)).await;
    let start = from.recv().await.unwrap();
    assert!(start.contains(&id), "{start}");
    to.send("nope".into()).await.unwrap();
    let mut last = String::new();
    while let Some(text) = from.recv().await {
        last = text;
    }
    assert!(last.contains("invalid_json"), "{last}");
}

#[tokio::test]
async fn workers_and_what_they_can_run_are_listed() {
    let api = Api::start().await;
    let mut worker = api.connect().await;
    let workers: Page<WorkerStatus> = api.get("/v1/workers").await;
    assert_eq!(workers.items[0].id, worker.id);
    assert_eq!(workers.items[0].state, "connected");
    let definitions: Value = api.get("/v1/definitions?kind=workflow").await;
    assert_eq!(definitions["items"][0]["name"], "wf");
    let agents: Value = api.get("/v1/definitions?kind=agent").await;
    assert_eq!(agents["items"], json!([]));
    let drained = api.post(&format!("/v1/workers/{}/drain", worker.id), json!({})).await;
    assert_eq!(drained["state"], "draining");
    assert!(matches!(worker.receive().await, FromServer::Drain(_)));
}

/// A process that does nothing, and how a worker in it would describe it.
#[cfg(target_os = "linux")]
fn process() -> (std::process::Child, Host) {
    let child = std::process::Command::new("sleep").arg("600").spawn().unwrap();
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", child.id())).unwrap();
    let fields: Vec<_> = stat[stat.rfind(')').unwrap() + 2..].split(' ').collect();
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    let namespace = std::fs::read_link("/proc/self/ns/pid").unwrap();
    let host = Host {
        name: "here".into(),
        boot: boot.trim().into(),
        pid: child.id(),
        pid_start: fields[19].parse().unwrap(),
        pid_namespace: namespace.to_string_lossy().into(),
    };
    (child, host)
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn the_death_of_a_process_is_known_at_once() {
    let api = Api::with(|options| options.engine.grace_ms = 60_000).await;
    let id = api.start_run(json!(1)).await;
    let (mut process, host) = process();
    let mut doomed = Worker::dial(&api, &api.token).await.unwrap();
    doomed.send(&FromWorker::Hello(Hello { host, ..hello(doomed.id, 1) })).await;
    assert!(matches!(doomed.receive().await, FromServer::Welcome(_)));
    let first = doomed.take_run().await;
    let mut heir = api.connect().await;
    process.kill().unwrap();
    process.wait().unwrap();
    // The grace is a minute: only the process's end can have moved the run.
    let start = tokio::time::timeout(LONG, heir.take_run()).await.unwrap();
    assert_eq!(start.run.to_string(), id);
    assert!(start.assignment > first.assignment);
    assert!(start.previous.unwrap().dead);
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn the_death_of_an_impostor_takes_nothing_from_anyone() {
    let api = Api::with(|options| options.engine.grace_ms = 60_000).await;
    api.start_run(json!(1)).await;
    let mut worker = api.connect().await;
    worker.take_run().await;
    let made = api.post("/v1/keys", json!({ "name": "t", "namespace": "team" })).await;
    let (mut process, host) = process();
    let mut impostor = Worker::dial(&api, made["secret"].as_str().unwrap()).await.unwrap();
    impostor.send(&FromWorker::Hello(Hello { host, ..hello(worker.id, 9) })).await;
    assert_eq!(impostor.error().await, "worker_id_taken");
    process.kill().unwrap();
    process.wait().unwrap();
    let workers: Page<WorkerStatus> = api.get("/v1/workers").await;
    assert_eq!(workers.items[0].runs.len(), 1);
    assert_eq!(workers.items[0].state, "connected");
}
