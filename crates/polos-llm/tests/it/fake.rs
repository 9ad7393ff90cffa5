//! A server that answers what a test tells it to, and remembers what it was asked.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, Response, StatusCode, Uri};
use futures_util::stream::{self, StreamExt as _};
use polos_llm::{
    Anthropic, AnthropicOptions, Delta, Dialect, Error, OpenAi, OpenAiOptions, Provider, Request,
    Response as Reply, Secret, Timeouts,
};
use tokio::net::TcpListener;

pub(crate) const KEY: &str = "key-that-nobody-may-see";

/// Is one canned answer.
#[derive(Clone)]
pub(crate) struct Answer {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: String,
    end: End,
}

/// Says what comes after the body.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Close,
    Silence,
    Pings,
}

impl Answer {
    /// A whole stream.
    pub(crate) fn stream(body: impl Into<String>) -> Self {
        let headers = vec![("content-type", "text/event-stream; charset=utf-8".to_owned())];
        Self { status: 200, headers, body: body.into(), end: End::Close }
    }

    /// A refusal with a JSON body.
    pub(crate) fn refusal(status: u16, body: impl Into<String>) -> Self {
        let headers = vec![("content-type", "application/json".to_owned())];
        Self { status, headers, body: body.into(), end: End::Close }
    }

    pub(crate) fn header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.retain(|(have, _)| *have != name);
        self.headers.push((name, value.to_owned()));
        self
    }

    pub(crate) fn then_silence(self) -> Self {
        Self { end: End::Silence, ..self }
    }

    pub(crate) fn then_pings(self) -> Self {
        Self { end: End::Pings, ..self }
    }
}

/// Is a request as it arrived.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

#[derive(Clone, Default)]
struct Shared {
    answers: Arc<Mutex<VecDeque<Answer>>>,
    asked: Arc<Mutex<Vec<Asked>>>,
}

/// Is the server.
pub(crate) struct Fake {
    pub(crate) url: String,
    shared: Shared,
}

impl Fake {
    pub(crate) async fn start(answers: impl IntoIterator<Item = Answer>) -> Self {
        let shared = Shared::default();
        shared.answers.lock().unwrap().extend(answers);
        let app = Router::new().fallback(answer).with_state(shared.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { url, shared }
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.shared.asked.lock().unwrap().clone()
    }

    pub(crate) fn anthropic(&self) -> Anthropic {
        anthropic(&self.url, patient())
    }

    pub(crate) fn openai(&self) -> OpenAi {
        openai(&self.url, patient())
    }
}

async fn answer(
    State(shared): State<Shared>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response<Body> {
    shared.asked.lock().unwrap().push(Asked { path: uri.to_string(), headers, body });
    let answer = shared.answers.lock().unwrap().pop_front();
    let Some(answer) = answer else {
        return Response::builder().status(StatusCode::IM_A_TEAPOT).body(Body::empty()).unwrap();
    };
    let mut response = Response::builder().status(answer.status);
    for (name, value) in &answer.headers {
        response = response.header(*name, value);
    }
    let first = stream::iter([Ok::<_, Infallible>(Bytes::from(answer.body))]);
    let body = match answer.end {
        End::Close => Body::from_stream(first),
        End::Silence => Body::from_stream(first.chain(stream::pending())),
        End::Pings => Body::from_stream(first.chain(stream::unfold((), |()| async {
            tokio::time::sleep(Duration::from_millis(10)).await;
            Some((Ok(Bytes::from_static(PING)), ()))
        }))),
    };
    response.body(body).unwrap()
}

const PING: &[u8] = b": alive\n\nevent: ping\ndata: {\"type\":\"ping\"}\n\n";

/// Limits that no test reaches by accident.
pub(crate) fn patient() -> Timeouts {
    let long = Duration::from_mins(1);
    Timeouts { connect: long, answer: long, idle: long, progress: long }
}

pub(crate) fn anthropic(url: &str, timeouts: Timeouts) -> Anthropic {
    let options = AnthropicOptions::new(Secret::new(KEY));
    Anthropic::new(AnthropicOptions { base_url: url.into(), timeouts, ..options }).unwrap()
}

pub(crate) fn openai(url: &str, timeouts: Timeouts) -> OpenAi {
    let options = OpenAiOptions::new(Secret::new(KEY)).with_base_url(format!("{url}/v1"));
    assert_eq!(options.dialect, Dialect::Compatible);
    OpenAi::new(OpenAiOptions { timeouts, ..options }).unwrap()
}

pub(crate) fn hello() -> Request {
    Request::new("some-model", "hello")
}

/// Calls a provider and collects what it showed on the way.
pub(crate) async fn call(
    provider: &dyn Provider,
    request: &Request,
) -> (Vec<Delta>, Result<Reply, Error>) {
    let mut deltas = Vec::new();
    let result = {
        let mut on_delta = |delta| deltas.push(delta);
        provider.stream(request, &mut on_delta).await
    };
    (deltas, result)
}

/// Writes events as Anthropic does: name and data.
pub(crate) fn events(list: &[&str]) -> String {
    let write = |data: &&str| {
        let value: serde_json::Value = serde_json::from_str(data).unwrap();
        format!("event: {}\ndata: {data}\n\n", value["type"].as_str().unwrap())
    };
    list.iter().map(write).collect::<Vec<_>>().concat()
}

/// Writes chunks as OpenAI does: data only, and the goodbye.
pub(crate) fn chunks(list: &[&str]) -> String {
    let chunks: Vec<String> = list.iter().map(|data| format!("data: {data}\n\n")).collect();
    chunks.concat() + "data: [DONE]\n\n"
}
