//! Who may do what.

use crate::harness::{Api, Worker, refused};
use polos_protocol::frame::FromServer;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

/// One call of each scope.
const CALLS: [(&str, Method, &str); 5] = [
    ("read", Method::GET, "/v1/runs"),
    ("write", Method::POST, "/v1/runs/bulk"),
    ("approve", Method::POST, "/v1/approvals/x/decide"),
    ("worker", Method::GET, "/v1/worker"),
    ("admin", Method::GET, "/v1/keys"),
];

#[tokio::test]
async fn nothing_but_health_and_the_description_goes_without_a_key() {
    let api = Api::start().await;
    for path in ["/v1/health", "/openapi.json"] {
        assert_eq!(api.bare(Method::GET, path).send().await.unwrap().status(), 200, "{path}");
    }
    for (_, method, path) in CALLS {
        let (status, error) = refused(api.bare(method.clone(), path)).await;
        assert_eq!((status, error.code.as_str()), (StatusCode::UNAUTHORIZED, "unauthorized"));
        let wrong = api.bare(method, path).bearer_auth("polos_wrong");
        assert_eq!(refused(wrong).await.0, StatusCode::UNAUTHORIZED, "{path}");
    }
    let basic = api.bare(Method::GET, "/v1/runs").basic_auth("x", Some(&api.token));
    assert_eq!(refused(basic).await.0, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn each_scope_opens_its_own_calls_only() {
    let api = Api::start().await;
    for (scope, _, _) in CALLS {
        let made = api.post("/v1/keys", json!({ "name": scope, "scopes": [scope] })).await;
        let secret = made["secret"].as_str().unwrap();
        assert!(secret.starts_with("polos_") && secret.len() == 70);
        for (needed, method, path) in CALLS {
            let response = api.bare(method, path).bearer_auth(secret).send().await.unwrap();
            let forbidden = response.status() == StatusCode::FORBIDDEN;
            assert_eq!(forbidden, scope != needed, "{scope} {path} {}", response.status());
        }
    }
}

#[tokio::test]
async fn a_key_sees_its_own_namespace_only() {
    let api = Api::start().await;
    let made = api.post("/v1/keys", json!({ "name": "t", "namespace": "team" })).await;
    let (key, secret) = (made["namespace"].clone(), made["secret"].as_str().unwrap().to_owned());
    assert_eq!(key, "team");
    let id = api.start_run(json!(1)).await;
    let theirs = |path: &str| api.bare(Method::GET, path).bearer_auth(&secret);
    let (status, _) = refused(theirs(&format!("/v1/runs/{id}"))).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    let runs: Value = theirs("/v1/runs").send().await.unwrap().json().await.unwrap();
    assert_eq!(runs["items"], json!([]));
    let other = theirs("/v1/runs").header("polos-namespace", "default");
    assert_eq!(refused(other).await.1.code, "namespace_refused");
    let keys = api.bare(Method::POST, "/v1/keys").bearer_auth(&secret);
    let foreign = keys.json(&json!({ "name": "x", "namespace": "default" }));
    assert_eq!(refused(foreign).await.1.code, "namespace_refused");
    let own = api.bare(Method::POST, "/v1/keys").bearer_auth(&secret);
    let own: Value = own.json(&json!({ "name": "x" })).send().await.unwrap().json().await.unwrap();
    assert_eq!(own["namespace"], "team");
    let switched = api.request(Method::GET, "/v1/version").header("polos-namespace", "team");
    let version: Value = switched.send().await.unwrap().json().await.unwrap();
    assert_eq!(version["namespace"], "team");
    let bad = api.request(Method::GET, "/v1/version").header("polos-namespace", "No Such");
    assert_eq!(refused(bad).await.1.code, "invalid_namespace");
}

#[tokio::test]
async fn a_revoked_key_is_out_at_once_its_worker_too() {
    let api = Api::start().await;
    let made = api.post("/v1/keys", json!({ "name": "w", "scopes": ["worker", "read"] })).await;
    let (id, secret) = (made["id"].as_str().unwrap(), made["secret"].as_str().unwrap());
    let mut worker = Worker::dial(&api, secret).await.unwrap();
    worker.hello().await;
    let revoked = api.post(&format!("/v1/keys/{id}/revoke"), json!({})).await;
    assert!(revoked["revoked_ms"].is_u64());
    assert_eq!(worker.error().await, "unauthorized");
    let again = api.bare(Method::GET, "/v1/runs").bearer_auth(secret);
    assert_eq!(refused(again).await.0, StatusCode::UNAUTHORIZED);
    let listed: Value = api.get("/v1/keys").await;
    assert_eq!(listed["items"][0]["id"], id);
    assert!(!listed.to_string().contains(secret));
    let audit: Value = api.get("/v1/audit").await;
    assert_eq!(audit["items"][0]["action"], "key.revoke");
    assert!(!audit.to_string().contains(secret));
}

#[tokio::test]
async fn keys_outlive_the_server() {
    let api = Api::start().await;
    let made = api.post("/v1/keys", json!({ "name": "k", "scopes": ["read"] })).await;
    let secret = made["secret"].as_str().unwrap().to_owned();
    let store = api.store.clone();
    api.stop().await.unwrap();
    store.reopen();
    let directory = tempfile::tempdir().unwrap();
    let options = crate::harness::options(&directory);
    let server = polos_server::serve(options, std::sync::Arc::new(store)).await.unwrap();
    let url = format!("{}/v1/version", server.url());
    let client = reqwest::Client::new();
    let response = client.get(url).bearer_auth(&secret).send().await.unwrap();
    assert_eq!(response.status(), 200);
    server.stop().await.unwrap();
}

#[tokio::test]
async fn other_names_and_pages_are_refused() {
    let api = Api::with(|options| options.hosts = vec!["polos.example".into()]).await;
    let with = |name: &'static str, value: &str| {
        api.request(Method::GET, "/v1/runs").header(name, value.to_owned())
    };
    let (status, error) = refused(with("host", "evil.example")).await;
    assert_eq!((status, error.code.as_str()), (StatusCode::MISDIRECTED_REQUEST, "host_unknown"));
    assert_eq!(with("host", "polos.example").send().await.unwrap().status(), 200);
    let (status, error) = refused(with("origin", "https://evil.example")).await;
    assert_eq!((status, error.code.as_str()), (StatusCode::FORBIDDEN, "origin_refused"));
    assert_eq!(with("origin", &api.url).send().await.unwrap().status(), 200);
    let health = api.bare(Method::GET, "/v1/health").header("host", "evil.example");
    assert_eq!(refused(health).await.1.code, "host_unknown");
    let unknown = api.bare(Method::GET, "/nowhere").header("origin", "null");
    assert_eq!(refused(unknown).await.1.code, "origin_refused");
}

#[tokio::test]
async fn a_worker_lives_in_its_keys_namespace() {
    let api = Api::start().await;
    let made = api.post("/v1/keys", json!({ "name": "w", "namespace": "team" })).await;
    let mut worker = Worker::dial(&api, made["secret"].as_str().unwrap()).await.unwrap();
    worker.hello().await;
    api.start_run(json!(1)).await;
    let run = api.request(Method::POST, "/v1/runs").header("polos-namespace", "team");
    let run = run.json(&json!({ "workflow": "wf" })).send().await.unwrap();
    let run: Value = run.json().await.unwrap();
    let FromServer::Start(start) = worker.receive().await else { panic!("no start") };
    assert_eq!(start.run.to_string(), run["id"], "not the run of `default`");
}
