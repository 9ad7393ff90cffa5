//! Malformed, oversized and out-of-order requests and frames: a clear error, and nothing else ends.

use crate::harness::{Api, Worker, hello, refused};
use futures_util::SinkExt;
use polos_protocol::frame::{Empty, FromServer, FromWorker, Hello, StoreRequest};
use polos_protocol::{RunId, WorkerId};
use reqwest::{Method, StatusCode};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_tungstenite::tungstenite::Message;

async fn send(api: &Api, body: impl Into<reqwest::Body>, kind: &str) -> (u16, String) {
    let request = api.request(Method::POST, "/v1/runs").header("content-type", kind).body(body);
    let (status, error) = refused(request).await;
    (status.as_u16(), error.code)
}

#[tokio::test]
async fn bad_bodies_are_refused_in_words() {
    let api = Api::start().await;
    let json = "application/json";
    let with = |input: &str| format!(r#"{{"workflow":"wf","input":{input}}}"#);
    for (text, status, code) in [
        ("{".to_owned(), 400, "invalid_json"),
        ("nope".to_owned(), 400, "invalid_json"),
        ("[]".to_owned(), 400, "invalid_body"),
        (r#"["wf"]"#.to_owned(), 400, "invalid_body"),
        (String::new(), 400, "invalid_body"),
        ("{}".to_owned(), 400, "invalid_body"),
        (r#"{"workflow":7}"#.to_owned(), 400, "invalid_body"),
        (r#"{"workflow":"wf","queue":"mail"}"#.to_owned(), 400, "unknown_field"),
        (r#"{"workflow":"wf","options":{"qeue":"mail"}}"#.to_owned(), 400, "unknown_field"),
        (r#"{"workflow":"a","workflow":"b"}"#.to_owned(), 400, "invalid_json"),
        (with("NaN"), 400, "invalid_json"),
        (with(r#""\ud800""#), 400, "invalid_json"),
        (with(r#"{"a":1,"a":2}"#), 400, "invalid_json"),
        (with("1e999"), 400, "invalid_json"),
        (with(&"[".repeat(5000)), 400, "invalid_json"),
        (with(&format!("{}{}", "[".repeat(101), "]".repeat(101))), 400, "invalid_json"),
        (with(&format!("\"{}\"", "x".repeat(32 << 20))), 413, "value_too_large"),
        (with(&format!("\"{}\"", "x".repeat(33 << 20))), 413, "body_too_large"),
    ] {
        let shown: String = text.chars().take(60).collect();
        assert_eq!(send(&api, text, json).await, (status, code.to_owned()), "{shown}");
    }
    assert_eq!(send(&api, vec![b'"', 0xff, b'"'], json).await.1, "invalid_json");
    assert_eq!(send(&api, "{}", "text/plain").await, (415, "unsupported_media_type".to_owned()));
    assert_eq!(api.start_run(json!({})).await.len(), 30, "and the server lives");
}

#[tokio::test]
async fn bad_paths_and_queries_are_refused_in_words() {
    let api = Api::start().await;
    for (method, path, status, code) in [
        (Method::GET, "/", 404, "unknown_path"),
        (Method::GET, "/v1/nope", 404, "unknown_path"),
        (Method::DELETE, "/v1/runs", 405, "method_not_allowed"),
        (Method::GET, "/v1/runs/nope", 400, "invalid_id"),
        (Method::GET, "/v1/runs/%ff", 400, "invalid_path"),
        (Method::GET, "/v1/runs/run_00000000000000000000000000", 404, "not_found"),
        (Method::GET, "/v1/runs/run_00000000000000000000000000/events", 404, "not_found"),
        (Method::GET, "/v1/runs/run_00000000000000000000000000/result", 404, "not_found"),
        (Method::GET, "/v1/approvals/apr_00000000000000000000000000", 404, "not_found"),
        (Method::GET, "/v1/sessions/ses_00000000000000000000000000/turns", 404, "not_found"),
        (Method::POST, "/v1/keys/key_00000000000000000000000000/revoke", 404, "not_found"),
        (Method::POST, "/v1/workers/wrk_00000000000000000000000000/drain", 404, "not_found"),
        (Method::GET, "/v1/runs?stat=queued", 400, "unknown_parameter"),
        (Method::GET, "/v1/runs?state=nope", 400, "invalid_parameter"),
        (Method::GET, "/v1/runs?limit=501", 400, "invalid_parameter"),
        (Method::GET, "/v1/runs?cursor=nope", 400, "invalid_parameter"),
        (Method::GET, "/v1/runs?label=nope", 400, "invalid_parameter"),
        (Method::GET, "/v1/approvals?state=nope", 400, "invalid_parameter"),
        (Method::GET, "/v1/definitions?kind=nope", 400, "invalid_parameter"),
        (Method::GET, "/v1/worker", 426, "websocket_expected"),
    ] {
        let (found, error) = refused(api.request(method, path)).await;
        assert_eq!((found.as_u16(), error.code.as_str()), (status, code), "{path}");
    }
}

#[tokio::test]
async fn heads_that_are_not_http_end_their_connection_only() {
    let api = Api::start().await;
    let address = api.url.strip_prefix("http://").unwrap();
    let huge =
        format!("GET /v1/health HTTP/1.1\r\nhost: {address}\r\nx: {}\r\n\r\n", "y".repeat(300_000));
    for (head, expect) in [
        ("\0\0\0\0\r\n\r\n".to_owned(), "HTTP/1.1 400"),
        ("GET /v1/health HTTP/1.1\r\n\r\n".to_owned(), "HTTP/1.1 400"),
        (huge, "HTTP/1.1 431"),
        (
            format!("GET /v1/health HTTP/1.1\r\nhost: {address}\r\nhost: {address}\r\n\r\n"),
            "HTTP/1.1 400",
        ),
    ] {
        let mut socket = tokio::net::TcpStream::connect(address).await.unwrap();
        socket.write_all(head.as_bytes()).await.unwrap();
        let mut answer = [0; 12];
        socket.read_exact(&mut answer).await.unwrap();
        assert_eq!(String::from_utf8_lossy(&answer), expect);
    }
    assert_eq!(api.bare(Method::GET, "/v1/health").send().await.unwrap().status(), StatusCode::OK);
}

/// Says hello, then one thing more; gives the code of the error that follows.
async fn after_hello(api: &Api, message: Message) -> String {
    let mut worker = api.connect().await;
    worker.socket.send(message).await.unwrap();
    worker.error().await
}

#[tokio::test]
async fn bad_frames_end_their_connection_only() {
    let api = Api::start().await;
    let mut bystander = api.connect().await;
    let id = WorkerId::from_bytes([1; 16]);
    let again = FromWorker::Hello(hello(id, 9)).to_text();
    let surrogate = r#"{"type":"pong","body":{"x":"\udfff"}}"#;
    let twice = r#"{"type":"pong","body":{},"body":{}}"#;
    let deep = format!(r#"{{"type":"pong","body":{}{}}}"#, "[".repeat(200), "]".repeat(200));
    for (message, code) in [
        (Message::text("nope"), "invalid_json"),
        (Message::text(""), "invalid_json"),
        (Message::text("[]"), "invalid_frame"),
        (Message::text(r#"{"type":"nope","body":{}}"#), "unknown_frame"),
        (Message::text(r#"{"type":"accept","body":{}}"#), "invalid_frame"),
        (Message::text(surrogate), "invalid_json"),
        (Message::text(twice), "invalid_json"),
        (Message::text(deep), "invalid_json"),
        (Message::text(again), "unexpected_hello"),
        (Message::binary(vec![1, 2, 3]), "binary_message"),
        (Message::text("x".repeat(3 << 20)), "frame_too_large"),
    ] {
        assert_eq!(after_hello(&api, message).await, code);
    }
    api.start_run(json!(1)).await;
    assert!(matches!(bystander.receive().await, FromServer::Start(_)));
}

#[tokio::test]
async fn a_first_frame_that_is_no_fitting_hello_is_refused() {
    let api = Api::start().await;
    let good = hello(WorkerId::from_bytes([2; 16]), 1);
    let newer = Hello { protocol: [7, 9], ..good.clone() };
    let nameless = Hello { build: "x".repeat(300).into(), ..good.clone() };
    let greedy = Hello { slots: u32::MAX, ..good };
    for (frame, code) in [
        (FromWorker::Pong(Empty {}), "hello_expected"),
        (FromWorker::Hello(newer), "protocol_version"),
        (FromWorker::Hello(nameless), "invalid_hello"),
        (FromWorker::Hello(greedy), "invalid_hello"),
    ] {
        let mut worker = Worker::dial(&api, &api.token).await.unwrap();
        worker.send(&frame).await;
        assert_eq!(worker.error().await, code);
    }
}

#[tokio::test]
async fn bad_pieces_of_values_end_their_connection() {
    let api = Api::start().await;
    let piece = |hash: &str, size, offset, text: &str| {
        let run = RunId::from_bytes([1; 16]);
        let piece = StoreRequest { run, hash: hash.into(), size, offset, text: text.into() };
        Message::text(FromWorker::Store(piece).to_text())
    };
    for (message, code) in [
        (piece("ab", 3, 0, "[1]"), "hash_mismatch"),
        (piece("ab", 3, 1, "[1]"), "piece_out_of_order"),
        (piece("ab", 1 << 40, 0, "[1]"), "value_too_large"),
    ] {
        assert_eq!(after_hello(&api, message).await, code);
    }
}
