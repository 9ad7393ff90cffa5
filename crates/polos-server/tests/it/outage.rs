//! Commits that fail: nothing is acknowledged, everybody is told, and it heals.

use crate::harness::{Api, LONG, Worker, hello, refused};
use polos_protocol::frame::FromWorker;
use polos_protocol::rest::Health;
use polos_store::CommitError;
use polos_testkit::store::Fault;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite;

async fn health(api: &Api) -> (StatusCode, Health) {
    let response = api.bare(Method::GET, "/v1/health").send().await.unwrap();
    (response.status(), response.json().await.unwrap())
}

async fn healed(api: &Api) {
    let healing = async {
        while health(api).await.1.status != "ok" {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(LONG, healing).await.expect("it heals");
}

fn start(api: &Api) -> reqwest::RequestBuilder {
    api.request(Method::POST, "/v1/runs").json(&json!({ "workflow": "wf", "key": "k" }))
}

async fn count(api: &Api) -> usize {
    let runs: Value = api.get("/v1/runs").await;
    runs["items"].as_array().unwrap().len()
}

#[tokio::test]
async fn a_full_disk_refuses_and_heals() {
    let api = Api::start().await;
    let mut worker = api.connect().await;
    api.store.set_plan(|_| Fault::Refuse(CommitError::Unavailable("the disk is full".into())));
    let (status, error) = refused(start(&api)).await;
    assert_eq!(
        (status, error.code.as_str()),
        (StatusCode::SERVICE_UNAVAILABLE, "store_unavailable")
    );
    assert!(error.message.contains("the disk is full"), "{}", error.message);
    assert!(error.hint.contains("make room"), "{}", error.hint);
    assert_eq!(worker.error().await, "store_unavailable");
    let (status, said) = health(&api).await;
    assert_eq!((status, said.status.as_str()), (StatusCode::SERVICE_UNAVAILABLE, "degraded"));
    assert!(said.message.unwrap().contains("the disk is full"));
    // Reads go on; writes go on being refused.
    assert_eq!(count(&api).await, 0);
    assert_eq!(refused(start(&api)).await.0, StatusCode::SERVICE_UNAVAILABLE);
    // A worker that comes back is not refused for good, but before it has said anything.
    let Err(tungstenite::Error::Http(response)) = Worker::dial(&api, &api.token).await else {
        panic!("no worker is taken meanwhile");
    };
    assert_eq!(response.status(), 503);

    api.store.clear_plan();
    healed(&api).await;
    assert_eq!(start(&api).send().await.unwrap().status(), StatusCode::CREATED);
    assert_eq!(count(&api).await, 1);
    let mut worker = api.connect().await;
    worker.take_run().await;
    let audit: Value = api.get("/v1/audit").await;
    assert_eq!(audit["items"][0]["action"], "store.recovered");
}

#[tokio::test]
async fn a_store_that_cannot_be_written_says_so() {
    let api = Api::start().await;
    api.store.set_plan(|_| Fault::Refuse(CommitError::ReadOnly("polos.db".into())));
    let (_, error) = refused(start(&api)).await;
    assert_eq!(error.hint, "make the data directory writable");
}

#[tokio::test]
async fn a_lost_answer_is_not_guessed() {
    let api = Api::start().await;
    let mut lost = false;
    api.store.set_plan(
        move |_| if std::mem::replace(&mut lost, true) { Fault::None } else { Fault::Lose },
    );
    let (status, error) = refused(start(&api)).await;
    assert_eq!((status, error.code.as_str()), (StatusCode::SERVICE_UNAVAILABLE, "outcome_unknown"));
    healed(&api).await;
    // It had been done: the key finds it.
    let again = start(&api).send().await.unwrap();
    assert_eq!(again.status(), StatusCode::OK);
    assert_eq!(again.json::<Value>().await.unwrap()["existing"], true);
    assert_eq!(count(&api).await, 1);
}

#[tokio::test]
async fn a_worker_whose_hello_was_lost_may_come_again() {
    let api = Api::start().await;
    let mut worker = Worker::dial(&api, &api.token).await.unwrap();
    api.store.set_plan(|_| Fault::Refuse(CommitError::Unavailable("the disk is full".into())));
    worker.send(&FromWorker::Hello(hello(worker.id, 1))).await;
    // It is not welcome, but nothing says that it must stay away.
    assert!(worker.next().await.is_none());
    api.store.clear_plan();
    healed(&api).await;
    api.connect().await;
}

async fn ends(fault: CommitError, expect: &str) {
    let api = Api::start().await;
    api.store.set_plan(move |_| Fault::Refuse(fault.clone()));
    let _ = start(&api).send().await;
    let ended = tokio::time::timeout(LONG, api.running).await.expect("the server ends").unwrap();
    assert!(ended.unwrap_err().to_string().contains(expect));
    assert!(!api.directory.path().join("server.json").exists());
}

#[tokio::test]
async fn a_failed_disk_or_another_owner_ends_the_server() {
    ends(CommitError::Fatal("fsync: EIO".into()), "the disk has failed").await;
    ends(CommitError::Fenced("server 2".into()), "taken the store over").await;
}
