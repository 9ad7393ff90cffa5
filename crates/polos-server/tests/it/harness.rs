//! A server on a free port over the model store, a client, and a worker made by hand.

use futures_util::{SinkExt, StreamExt};
use polos_protocol::frame::{FromServer, FromWorker, Hello, Host, RunRef, Start};
use polos_protocol::rest::{ErrorBody, ErrorResponse};
use polos_protocol::{Definition, Kind, WorkerId};
use polos_server::{Options, Server, serve};
use polos_testkit::store::Memory;
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

/// Nothing here takes nearly as long.
pub(crate) const LONG: Duration = Duration::from_secs(10);

pub(crate) struct Api {
    pub(crate) url: String,
    pub(crate) token: String,
    pub(crate) store: Memory,
    pub(crate) directory: tempfile::TempDir,
    pub(crate) handle: polos_server::Handle,
    client: Client,
    stop: Option<oneshot::Sender<()>>,
    pub(crate) running: JoinHandle<Result<(), polos_server::Error>>,
}

/// The options of a test's server.
pub(crate) fn options(directory: &tempfile::TempDir) -> Options {
    Options { listen: "127.0.0.1:0".into(), ..Options::new(directory.path()) }
}

impl Api {
    pub(crate) async fn start() -> Self {
        Self::with(|_| {}).await
    }

    pub(crate) async fn with(change: impl FnOnce(&mut Options)) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut options = options(&directory);
        change(&mut options);
        let store = Memory::new();
        let server = serve(options, Arc::new(store.clone())).await.unwrap();
        Self::over(server, store, directory)
    }

    fn over(server: Server, store: Memory, directory: tempfile::TempDir) -> Self {
        rustls::crypto::ring::default_provider().install_default().ok();
        let (stop, stopped) = oneshot::channel::<()>();
        let (url, token) = (server.url().to_owned(), server.token().to_owned());
        let handle = server.handle().clone();
        let running = tokio::spawn(server.run(async {
            let _ = stopped.await;
        }));
        let client = Client::builder().timeout(LONG * 2).build().unwrap();
        Self { url, token, store, directory, handle, client, stop: Some(stop), running }
    }

    pub(crate) async fn stop(mut self) -> Result<(), polos_server::Error> {
        self.stop.take().unwrap().send(()).unwrap();
        tokio::time::timeout(LONG, self.running).await.unwrap().unwrap()
    }

    /// A request without a key.
    pub(crate) fn bare(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.url))
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.bare(method, path).bearer_auth(&self.token)
    }

    pub(crate) async fn get<T: DeserializeOwned>(&self, path: &str) -> T {
        ok(self.request(Method::GET, path).send().await.unwrap()).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Value {
        ok(self.request(Method::POST, path).json(&body).send().await.unwrap()).await
    }

    /// Starts a run of `wf` and gives its id.
    pub(crate) async fn start_run(&self, input: Value) -> String {
        let started = self.post("/v1/runs", json!({ "workflow": "wf", "input": input })).await;
        started["id"].as_str().unwrap().to_owned()
    }

    pub(crate) async fn connect(&self) -> Worker {
        let mut worker = Worker::dial(self, &self.token).await.unwrap();
        worker.hello().await;
        worker
    }
}

async fn ok<T: DeserializeOwned>(response: Response) -> T {
    let status = response.status();
    let text = response.text().await.unwrap();
    assert!(status.is_success(), "{status}: {text}");
    serde_json::from_str(&text).unwrap()
}

/// The refusal of a request: its status and its body in the one shape.
pub(crate) async fn refused(request: RequestBuilder) -> (StatusCode, ErrorBody) {
    let response = request.send().await.unwrap();
    let status = response.status();
    let text = response.text().await.unwrap();
    let body: ErrorResponse =
        serde_json::from_str(&text).unwrap_or_else(|e| panic!("{status} {text}: {e}"));
    assert!(!body.error.message.is_empty());
    (status, body.error)
}

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// A worker that says what the test tells it to.
pub(crate) struct Worker {
    pub(crate) socket: Socket,
    pub(crate) id: WorkerId,
    connections: u64,
}

impl Worker {
    pub(crate) async fn dial(api: &Api, token: &str) -> Result<Self, tungstenite::Error> {
        let url = format!("{}/v1/worker", api.url.replace("http:", "ws:"));
        let mut request = url.into_client_request().unwrap();
        let key = format!("Bearer {token}").parse().unwrap();
        request.headers_mut().insert("authorization", key);
        let (socket, _) = tokio_tungstenite::connect_async(request).await?;
        Ok(Self { socket, id: new_worker_id(), connections: 0 })
    }

    pub(crate) async fn hello(&mut self) {
        self.connections += 1;
        let hello = hello(self.id, self.connections);
        self.send(&FromWorker::Hello(hello)).await;
        let FromServer::Welcome(_) = self.receive().await else { panic!("no welcome") };
    }

    pub(crate) async fn send(&mut self, frame: &FromWorker) {
        self.send_text(&frame.to_text()).await;
    }

    pub(crate) async fn send_text(&mut self, text: &str) {
        self.socket.send(Message::text(text)).await.unwrap();
    }

    /// The next frame but pings; `None` when the connection has ended.
    pub(crate) async fn next(&mut self) -> Option<FromServer> {
        loop {
            let message = tokio::time::timeout(LONG, self.socket.next()).await.expect("a frame");
            match message? {
                Ok(Message::Text(text)) => match FromServer::from_text(&text).unwrap() {
                    FromServer::Ping(_) => {}
                    frame => return Some(frame),
                },
                Ok(Message::Close(_)) | Err(_) => return None,
                Ok(_) => {}
            }
        }
    }

    pub(crate) async fn receive(&mut self) -> FromServer {
        self.next().await.expect("the connection has ended")
    }

    /// Takes the next run.
    pub(crate) async fn take_run(&mut self) -> Start {
        let start = match self.receive().await {
            FromServer::Start(start) => *start,
            other => panic!("{other:?} instead of a start"),
        };
        let (run, assignment) = (start.run, start.assignment);
        self.send(&FromWorker::Accept(RunRef { run, assignment })).await;
        start
    }

    /// The code of the error frame with which the connection ends.
    pub(crate) async fn error(&mut self) -> String {
        loop {
            if let FromServer::Error(fatal) = self.next().await.expect("an error before the end") {
                assert!(self.next().await.is_none(), "more after the last frame");
                return fatal.code;
            }
        }
    }
}

fn new_worker_id() -> WorkerId {
    let mut bytes = [0; 10];
    getrandom::fill(&mut bytes).unwrap();
    WorkerId::from_parts(1, bytes)
}

pub(crate) fn hello(worker: WorkerId, connection: u64) -> Hello {
    Hello {
        protocol: [1, 1],
        features: vec![],
        kinds: Kind::ALL.to_vec(),
        worker,
        name: "test".into(),
        host: Host { name: "here".into(), ..Host::default() },
        sdk: "test/1".into(),
        build: "b1".into(),
        connection,
        definitions: vec![Definition { name: "wf".into(), ..Definition::default() }],
        queues: vec![],
        slots: 10,
        placements: vec![],
        held: vec![],
        pages: 2,
    }
}
