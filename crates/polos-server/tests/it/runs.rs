//! Runs over REST: shapes, filters, journals, results, verbs.

use crate::harness::{Api, refused};
use polos_protocol::frame::{
    CompleteRequest, FailRequest, FromServer, FromWorker, RecordRequest, RunRecords,
};
use polos_protocol::rest::{JournalPage, Page};
use polos_protocol::run::{RunDetail, RunResult, RunSummary};
use polos_protocol::{Failure, Kind, NewRecord, State, StepKey, Value as Envelope};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

fn step(n: u64, name: &str, value: &str) -> NewRecord {
    let mut record = NewRecord::new(n, Kind::Step, StepKey::run().child(name, 1), 0);
    record.value = Some(Envelope::from_text(value).unwrap());
    record
}

#[tokio::test]
async fn a_run_goes_from_start_to_result() {
    let api = Api::start().await;
    let id = api.start_run(json!({ "b": 1, "a": [2] })).await;
    let detail: RunDetail = api.get(&format!("/v1/runs/{id}")).await;
    assert_eq!(detail.summary.state, State::Queued);
    assert_eq!(
        detail.summary.why,
        "waits for a worker that has `wf`: none is connected; first in queue `default`"
    );

    let mut worker = api.connect().await;
    let start = worker.take_run().await;
    assert_eq!(start.run.to_string(), id);
    let (run, assignment) = (start.run, start.assignment);
    let records = vec![step(1, "one", "1"), step(2, "two", "{\"z\":0,\"y\":1.0}")];
    let records = RecordRequest { runs: vec![RunRecords { run, assignment, records }] };
    worker.send(&FromWorker::Record(records)).await;
    let FromServer::Recorded(recorded) = worker.receive().await else { panic!("not recorded") };
    assert_eq!(recorded.runs, [(run, assignment, 2, 2)]);

    let path = format!("/v1/runs/{id}/result?wait_ms=10000");
    let waiting = tokio::spawn(api.request(Method::GET, &path).send());
    let value = Envelope::from_text("\"done\"").unwrap();
    worker.send(&FromWorker::Complete(CompleteRequest { run, assignment, n: 2, value })).await;
    let result: RunResult = waiting.await.unwrap().unwrap().json().await.unwrap();
    assert_eq!(result.state, State::Completed);
    assert_eq!(result.output.unwrap().text(), "\"done\"");

    let page: JournalPage = api.get(&format!("/v1/runs/{id}/journal?limit=1")).await;
    assert_eq!(page.records.len(), 1);
    assert_eq!(page.next_after, Some(1));
    let page: JournalPage = api.get(&format!("/v1/runs/{id}/journal?after=1")).await;
    assert_eq!(page.next_after, None);
    assert_eq!(
        page.records[0].record.record.value.as_ref().unwrap().text(),
        Some("{\"z\":0,\"y\":1.0}")
    );
    assert!(!page.records[0].superseded);
}

#[tokio::test]
async fn inputs_pass_through_to_the_letter() {
    let api = Api::start().await;
    let input = r#"{"z":1.0,"a":9007199254740993,"":"é\u00e9","n":null}"#;
    let body = format!(r#"{{"workflow":"wf","input":{input}}}"#);
    let request = api.request(Method::POST, "/v1/runs").header("content-type", "application/json");
    let response = request.body(body).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::CREATED);
    let id = response.json::<Value>().await.unwrap()["id"].as_str().unwrap().to_owned();
    let text = api.request(Method::GET, &format!("/v1/runs/{id}")).send().await.unwrap();
    assert!(text.text().await.unwrap().contains(input));
}

#[tokio::test]
async fn a_start_key_starts_once() {
    let api = Api::start().await;
    let body = |input: i32| json!({ "workflow": "wf", "key": "k", "input": input });
    let post = |input| api.request(Method::POST, "/v1/runs").json(&body(input));
    let first = post(1).send().await.unwrap();
    assert_eq!(first.status(), StatusCode::CREATED);
    let first: Value = first.json().await.unwrap();
    let again = post(1).send().await.unwrap();
    assert_eq!(again.status(), StatusCode::OK);
    let again: Value = again.json().await.unwrap();
    assert_eq!((&again["id"], &again["existing"]), (&first["id"], &json!(true)));
    let (status, error) = refused(post(2)).await;
    assert_eq!((status, error.code.as_str()), (StatusCode::CONFLICT, "start_key_conflict"));
}

async fn listed(api: &Api, query: &str) -> usize {
    api.get::<Page<RunSummary>>(&format!("/v1/runs?{query}")).await.items.len()
}

#[tokio::test]
async fn lists_filter_and_page() {
    let api = Api::start().await;
    for n in 0..5 {
        let labels = json!({ "n": n.to_string(), "a:b": "c:d" });
        let body = json!({ "workflow": "wf", "options": { "labels": labels } });
        api.post("/v1/runs", body).await;
    }
    api.post("/v1/runs", json!({ "workflow": "other" })).await;
    assert_eq!(listed(&api, "").await, 6);
    assert_eq!(listed(&api, "workflow=wf").await, 5);
    assert_eq!(listed(&api, "state=queued,blocked&state=failed").await, 6);
    assert_eq!(listed(&api, "state=completed").await, 0);
    assert_eq!(listed(&api, "label=n:3").await, 1);
    let first: Page<RunSummary> = api.get("/v1/runs?limit=4").await;
    assert_eq!(first.items.len(), 4);
    assert_eq!(first.items[0].workflow, "other", "newest first");
    let cursor = first.next_cursor.unwrap();
    let last: Page<RunSummary> = api.get(&format!("/v1/runs?limit=4&cursor={cursor}")).await;
    assert_eq!((last.items.len(), last.next_cursor), (2, None));
}

#[tokio::test]
async fn a_list_says_of_each_queued_run_what_its_own_page_says() {
    let api = Api::start().await;
    let start = async |workflow: &str, options: Value| {
        api.post("/v1/runs", json!({ "workflow": workflow, "options": options })).await
    };
    let queue = json!({ "concurrency_per_key": 1 });
    let put = api.request(Method::PUT, "/v1/queues/tight").json(&queue).send().await.unwrap();
    assert!(put.status().is_success(), "{}", put.text().await.unwrap());
    let mut worker = api.connect().await;
    let tight = json!({ "queue": "tight", "concurrency_key": "k" });
    for _ in 0..3 {
        start("wf", tight.clone()).await;
    }
    worker.take_run().await;
    start("nobody", json!({})).await;
    start("nobody", json!({})).await;
    api.post("/v1/queues/still/pause", json!({})).await;
    start("wf", json!({ "queue": "still" })).await;

    let list: Page<RunSummary> = api.get("/v1/runs").await;
    let whys: Vec<&str> = list.items.iter().map(|run| run.why.as_str()).collect();
    let expect = [
        "waits: queue `still` is paused; `polos queues resume still`; first in queue `still`",
        "waits for a worker that has `nobody`: none is connected; 1 ahead of it in queue `default`",
        "waits for a worker that has `nobody`: none is connected; first in queue `default`",
        "waits for a slot of key `k`: the only one is taken; 1 ahead of it in queue `tight`",
        "waits for a slot of key `k`: the only one is taken; first in queue `tight`",
        "a worker has it",
    ];
    assert_eq!(whys, expect);
    for run in list.items.iter().take(5) {
        let detail: RunDetail = api.get(&format!("/v1/runs/{}", run.id)).await;
        assert_eq!(detail.summary.why, run.why);
    }
    // A page that begins in the middle counts those that it does not show.
    let page: Page<RunSummary> = api.get("/v1/runs?workflow=nobody&limit=1").await;
    assert_eq!(page.items[0].why, expect[1]);
}

#[tokio::test]
async fn a_result_is_waited_for_and_a_blocked_one_is_told_at_once() {
    let api = Api::start().await;
    let id = api.start_run(json!(1)).await;
    let path = format!("/v1/runs/{id}/result");
    let result: RunResult = api.get(&format!("{path}?wait_ms=20")).await;
    assert_eq!(result.state, State::Queued);
    let mut worker = api.connect().await;
    let start = worker.take_run().await;
    let waiting = tokio::spawn(api.request(Method::GET, &format!("{path}?wait_ms=9000")).send());
    let fail = FailRequest {
        run: start.run,
        assignment: start.assignment,
        n: 0,
        error: Failure::new("error", "no luck"),
        step: None,
    };
    worker.send(&FromWorker::Fail(fail)).await;
    let result: RunResult = waiting.await.unwrap().unwrap().json().await.unwrap();
    assert_eq!(result.state, State::Blocked);
    assert_eq!(result.blocked.unwrap().code, "uncaught_error");
    let result: RunResult = api.get(&format!("{path}?wait_ms=20&through_blocked=true")).await;
    assert_eq!(result.state, State::Blocked);
    let (status, _) = refused(api.request(Method::GET, &format!("{path}?wait_ms=60001"))).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn verbs_are_done_and_audited() {
    let api = Api::start().await;
    let id = api.start_run(json!(1)).await;
    let done = api.post(&format!("/v1/runs/{id}/kill"), json!({ "reason": "enough" })).await;
    assert_eq!(done["state"], "cancelled");
    let (status, error) =
        refused(api.request(Method::POST, &format!("/v1/runs/{id}/cancel"))).await;
    assert_eq!(status, StatusCode::CONFLICT, "{error:?}");
    let audit: Value = api.get("/v1/audit").await;
    let actions: Vec<_> = audit["items"].as_array().unwrap().iter().map(|e| &e["action"]).collect();
    assert_eq!(actions, ["run.cancel.refused", "run.cancel", "run.kill"]);
    let kill = &audit["items"][2];
    assert_eq!((&kill["principal"], &kill["target"]), (&json!("local"), &json!(id)));
    assert_eq!(kill["detail"]["reason"], "enough");
}

#[tokio::test]
async fn bulk_shows_first_then_does_and_goes_on_where_it_was() {
    let api = Api::start().await;
    for n in 0..7 {
        api.start_run(json!(n)).await;
    }
    let bulk = |dry_run| {
        json!({
            "filter": { "state": ["queued"] }, "verb": { "kill": {} }, "dry_run": dry_run,
        })
    };
    let shown = api.post("/v1/runs/bulk", bulk(true)).await;
    assert_eq!((&shown["done"], &shown["more"]), (&json!(7), &json!(false)));
    assert_eq!(listed(&api, "state=queued").await, 7);
    let newest: Page<RunSummary> = api.get("/v1/runs?limit=3").await;
    let mut rest = bulk(false);
    rest["after"] = json!(newest.items[2].id);
    assert_eq!(api.post("/v1/runs/bulk", rest).await["done"], 4);
    assert_eq!(listed(&api, "state=queued").await, 3);
    let done = api.post("/v1/runs/bulk", bulk(false)).await;
    assert_eq!((&done["done"], &done["refused"]), (&json!(3), &json!([])));
    let all = json!({ "filter": {}, "verb": { "kill": {} } });
    let (status, error) = refused(api.request(Method::POST, "/v1/runs/bulk").json(&all)).await;
    assert_eq!((status, error.code.as_str()), (StatusCode::BAD_REQUEST, "empty_filter"));
}
