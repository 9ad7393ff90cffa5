//! Connections that fall silent, go stale, are cut, or are no longer wanted.

use std::time::Duration;

use polos_llm::{ErrorKind, Provider as _, Timeouts};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

use crate::fake::{Answer, Fake, anthropic, events, hello, openai, patient};

const HEAD: &str =
    "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
const SHORT: Duration = Duration::from_millis(200);

fn whole() -> String {
    events(&[
        r#"{"type":"message_start","message":{"id":"m","model":"x","usage":{"input_tokens":1,"output_tokens":1}}}"#,
        r#"{"type":"content_block_start","index":0,"content_block":{"type":"text","text":"hi"}}"#,
        r#"{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":1}}"#,
        r#"{"type":"message_stop"}"#,
    ])
}

fn begun() -> String {
    whole().split_inclusive("\n\n").take(2).collect()
}

fn chunk(text: &str) -> String {
    format!("{:x}\r\n{text}\r\n", text.len())
}

async fn listen() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    (listener, url)
}

/// Reads one request, head and body.
async fn read_request(socket: &mut TcpStream) {
    let mut seen = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&seen).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            if body.len() >= length.unwrap().parse::<usize>().unwrap() {
                return;
            }
        }
        assert_ne!(socket.read_buf(&mut seen).await.unwrap(), 0, "the request was cut");
    }
}

async fn answer_whole(socket: &mut TcpStream) {
    let reply = format!("{HEAD}{}0\r\n\r\n", chunk(&whole()));
    socket.write_all(reply.as_bytes()).await.unwrap();
}

#[tokio::test]
async fn a_silent_stream_is_given_up() {
    let fake = Fake::start([Answer::stream(begun()).then_silence()]).await;
    let provider = anthropic(&fake.url, Timeouts { idle: SHORT, ..patient() });
    let error = polos_llm::complete(&provider, &hello()).await.unwrap_err();
    assert_eq!((error.kind(), error.is_retryable()), (ErrorKind::Stalled, true));
    assert_eq!(error.message(), "the stream was silent for 0.2 s");
}

#[tokio::test]
async fn pings_are_life_but_no_progress() {
    let fake = Fake::start([Answer::stream(begun()).then_pings()]).await;
    let provider = anthropic(&fake.url, Timeouts { progress: SHORT, ..patient() });
    let error = polos_llm::complete(&provider, &hello()).await.unwrap_err();
    assert_eq!((error.kind(), error.is_retryable()), (ErrorKind::Stalled, true));
    assert_eq!(error.message(), "the stream brought only pings for 0.2 s");
}

#[tokio::test]
async fn a_server_that_never_answers_is_given_up() {
    let (listener, url) = listen().await;
    let provider = anthropic(&url, Timeouts { answer: SHORT, ..patient() });
    let error = polos_llm::complete(&provider, &hello()).await.unwrap_err();
    assert_eq!((error.kind(), error.is_retryable()), (ErrorKind::Timeout, true));
    drop(listener);
}

#[tokio::test]
async fn nobody_there_is_a_connection_error() {
    let (listener, url) = listen().await;
    drop(listener);
    let error = polos_llm::complete(&anthropic(&url, patient()), &hello()).await.unwrap_err();
    assert_eq!((error.kind(), error.is_retryable()), (ErrorKind::Connection, true));
    assert!(error.message().starts_with(&format!("cannot call `{url}`: ")), "{error}");
}

#[tokio::test]
async fn a_connection_cut_in_the_reply_is_truncation() {
    let (listener, url) = listen().await;
    tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        read_request(&mut socket).await;
        let reply = format!("{HEAD}{}", chunk(&begun()));
        socket.write_all(reply.as_bytes()).await.unwrap();
    });
    let error = polos_llm::complete(&anthropic(&url, patient()), &hello()).await.unwrap_err();
    assert_eq!((error.kind(), error.is_retryable()), (ErrorKind::Truncated, true));
}

/// Answers the first request, closes when the second begins to come, and answers the third.
async fn close_second_request(listener: TcpListener) {
    let (mut socket, _) = listener.accept().await.unwrap();
    read_request(&mut socket).await;
    answer_whole(&mut socket).await;
    read_request(&mut socket).await;
    drop(socket);
    let (mut socket, _) = listener.accept().await.unwrap();
    read_request(&mut socket).await;
    answer_whole(&mut socket).await;
}

#[tokio::test]
async fn a_stale_connection_is_replaced_once() {
    let (listener, url) = listen().await;
    let server = tokio::spawn(close_second_request(listener));
    let provider = anthropic(&url, patient());
    for _ in 0..2 {
        assert_eq!(polos_llm::complete(&provider, &hello()).await.unwrap().text(), "hi");
    }
    server.await.unwrap();
}

#[tokio::test]
async fn a_fresh_connection_that_closes_is_not_tried_again() {
    let (listener, url) = listen().await;
    let server = tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        read_request(&mut socket).await;
        drop(socket);
        listener
    });
    let error = polos_llm::complete(&anthropic(&url, patient()), &hello()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Connection);
    let listener = server.await.unwrap();
    let again = tokio::time::timeout(SHORT, listener.accept()).await;
    assert!(again.is_err(), "the request was sent twice");
}

#[tokio::test]
async fn dropping_the_call_closes_the_socket() {
    let (listener, url) = listen().await;
    let (closed, on_closed) = oneshot::channel();
    tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        read_request(&mut socket).await;
        let reply = format!("{HEAD}{}", chunk(&begun()));
        socket.write_all(reply.as_bytes()).await.unwrap();
        closed.send(socket.read(&mut [0; 1]).await).unwrap();
    });
    let provider = anthropic(&url, patient());
    let (request, (seen, on_seen)) = (hello(), oneshot::channel());
    let mut seen = Some(seen);
    let mut on_delta = move |_| {
        if let Some(seen) = seen.take() {
            seen.send(()).unwrap();
        }
    };
    tokio::select! {
        result = provider.stream(&request, &mut on_delta) => panic!("{result:?}"),
        _ = on_seen => {}
    }
    let read = tokio::time::timeout(Duration::from_secs(10), on_closed).await.unwrap().unwrap();
    assert!(matches!(read, Ok(0) | Err(_)), "{read:?}");
}

#[tokio::test]
async fn a_reply_cut_at_any_byte_reads_the_same() {
    let (listener, url) = listen().await;
    let whole = whole();
    let length = whole.len();
    tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        socket.set_nodelay(true).unwrap();
        for cut in (1..length).step_by(7) {
            read_request(&mut socket).await;
            let (first, second) = whole.split_at(cut);
            socket.write_all(format!("{HEAD}{}", chunk(first)).as_bytes()).await.unwrap();
            tokio::task::yield_now().await;
            let rest = format!("{}0\r\n\r\n", chunk(second));
            socket.write_all(rest.as_bytes()).await.unwrap();
        }
    });
    let provider = anthropic(&url, patient());
    for _ in (1..length).step_by(7) {
        assert_eq!(polos_llm::complete(&provider, &hello()).await.unwrap().text(), "hi");
    }
}

#[tokio::test]
async fn an_endless_event_is_refused() {
    let endless = format!("data: {}", "x".repeat(9 * 1024 * 1024));
    let fake = Fake::start([Answer::stream(endless)]).await;
    let error = polos_llm::complete(&fake.anthropic(), &hello()).await.unwrap_err();
    assert_eq!((error.kind(), error.is_retryable()), (ErrorKind::Limit, false));
}

#[tokio::test]
async fn a_chat_that_is_finished_but_never_says_goodbye_is_whole() {
    let finished =
        "data: {\"choices\":[{\"delta\":{\"content\":\"hi\"},\"finish_reason\":\"stop\"}]}\n\n";
    let fake = Fake::start([Answer::stream(finished).then_silence()]).await;
    let provider = openai(&fake.url, Timeouts { idle: SHORT, ..patient() });
    let response = polos_llm::complete(&provider, &hello()).await.unwrap();
    assert_eq!((response.text().as_str(), response.usage_reported), ("hi", false));
}
