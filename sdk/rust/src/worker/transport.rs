//! How frames travel: a socket, or a channel inside one process. Both carry text.

use futures_util::future::BoxFuture;
use futures_util::{Sink, SinkExt as _, Stream, StreamExt as _};
use polos_protocol::limits;
use std::pin::Pin;
use std::sync::Arc;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncWrite, AsyncWriteExt as _, BufReader};
use tokio::sync::mpsc;

/// How many frames an in-memory link holds in each direction.
pub const MEMORY_FRAMES_MAX: usize = 1024;

/// Why there is no connection.
#[derive(Debug, Clone, thiserror::Error)]
pub enum TransportError {
    /// The server does not want this worker: trying again cannot help.
    #[error("the server refused the worker: {0}")]
    Refused(String),
    /// It did not come about, or broke off: the worker tries again.
    #[error("no connection to the server: {0}")]
    Broken(String),
}

/// Makes connections to a server.
pub trait Transport: Send + Sync {
    /// One connection, before its first frame. Called on the connection's own thread.
    fn connect(&self) -> BoxFuture<'static, Result<Link, TransportError>>;
}

/// Takes frames as text.
pub type FrameSink = Pin<Box<dyn Sink<String, Error = TransportError> + Send>>;
/// Gives frames as text; ends when the connection does.
pub type FrameStream = Pin<Box<dyn Stream<Item = Result<String, TransportError>> + Send>>;

/// One end of a connection.
pub struct Link {
    /// Where this end's frames go.
    pub sink: FrameSink,
    /// Where the other end's frames come from.
    pub stream: FrameStream,
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Link")
    }
}

impl Link {
    /// Both ends of a connection inside one process.
    pub fn pair() -> (Self, Self) {
        let (to_server, from_worker) = mpsc::channel(MEMORY_FRAMES_MAX);
        let (to_worker, from_server) = mpsc::channel(MEMORY_FRAMES_MAX);
        (Self::of(to_server, from_server), Self::of(to_worker, from_worker))
    }

    /// A connection over a stream of bytes: one frame a line.
    pub fn lines<S>(stream: S) -> Self
    where
        S: AsyncRead + AsyncWrite + Send + 'static,
    {
        let broken = |cause: &std::io::Error| TransportError::Broken(cause.to_string());
        let (read, write) = tokio::io::split(stream);
        let sink = futures_util::sink::unfold(write, move |mut write, text: String| async move {
            let line = text + "\n";
            write.write_all(line.as_bytes()).await.map_err(|cause| broken(&cause))?;
            write.flush().await.map_err(|cause| broken(&cause))?;
            Ok(write)
        });
        let lines = BufReader::new(read).lines();
        let stream = futures_util::stream::unfold(lines, move |mut lines| async move {
            let line = lines.next_line().await.map_err(|cause| broken(&cause)).transpose()?;
            Some((line, lines))
        });
        Self { sink: Box::pin(sink), stream: Box::pin(stream) }
    }

    fn of(sender: mpsc::Sender<String>, receiver: mpsc::Receiver<String>) -> Self {
        let sink = futures_util::sink::unfold(sender, |sender, text: String| async move {
            match sender.send(text).await {
                Ok(()) => Ok(sender),
                Err(_) => Err(TransportError::Broken("the other end is gone".to_owned())),
            }
        });
        let stream = futures_util::stream::unfold(receiver, |mut receiver| async move {
            let text = receiver.recv().await?;
            Some((Ok(text), receiver))
        });
        Self { sink: Box::pin(sink), stream: Box::pin(stream) }
    }
}

/// A server inside the same process: each connection hands it the other end of a pair.
pub struct InMemory<F>(F);

impl<F> std::fmt::Debug for InMemory<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("InMemory")
    }
}

impl<F: Fn(Link) -> Result<(), TransportError> + Send + Sync> InMemory<F> {
    /// `accept` takes the server's end of each new connection.
    pub fn new(accept: F) -> Self {
        Self(accept)
    }
}

impl<F: Fn(Link) -> Result<(), TransportError> + Send + Sync> Transport for InMemory<F> {
    fn connect(&self) -> BoxFuture<'static, Result<Link, TransportError>> {
        let (ours, theirs) = Link::pair();
        let accepted = (self.0)(theirs);
        Box::pin(async move { accepted.map(|()| ours) })
    }
}

/// A WebSocket to `http(s)://…/v1/worker`. The upgrade goes through the HTTP client, which brings
/// names, TLS and proxies with it.
#[derive(Debug, Clone)]
pub struct WebSocket {
    url: Arc<str>,
    token: Arc<str>,
}

impl WebSocket {
    /// A socket to the server at `url` (`http://…`, `https://…`, `ws://…` or `wss://…`).
    pub fn new(url: &str, token: &str) -> Self {
        let url = url.trim_end_matches('/');
        let url = match url.split_once("://") {
            Some(("ws", rest)) => format!("http://{rest}"),
            Some(("wss", rest)) => format!("https://{rest}"),
            Some(_) => url.to_owned(),
            None => format!("http://{url}"),
        };
        Self { url: url.into(), token: token.into() }
    }
}

impl Transport for WebSocket {
    fn connect(&self) -> BoxFuture<'static, Result<Link, TransportError>> {
        let Self { url, token } = self.clone();
        Box::pin(async move { upgrade(&url, &token).await })
    }
}

async fn upgrade(url: &str, token: &str) -> Result<Link, TransportError> {
    use tokio_tungstenite::tungstenite::handshake::client::generate_key;
    use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
    use tokio_tungstenite::tungstenite::protocol::Role;

    let broken = |cause: &reqwest::Error| TransportError::Broken(crate::http::describe(cause));
    let client = crate::http::client(url, true).map_err(|cause| broken(&cause))?;
    let key = generate_key();
    let response = client
        .get(format!("{url}{}", polos_protocol::frame::PATH))
        .bearer_auth(token)
        .header("connection", "Upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", &key)
        .send()
        .await
        .map_err(|cause| broken(&cause))?;
    let status = response.status();
    if status != reqwest::StatusCode::SWITCHING_PROTOCOLS {
        let said = response.text().await.unwrap_or_default();
        let message = format!("{status} {}", crate::http::message_of(&said));
        return Err(match status.as_u16() {
            400 | 401 | 403 | 404 => TransportError::Refused(message),
            _ => TransportError::Broken(message),
        });
    }
    let accept =
        response.headers().get("sec-websocket-accept").map(|value| value.as_bytes().to_vec());
    if accept.as_deref() != Some(derive_accept_key(key.as_bytes()).as_bytes()) {
        return Err(TransportError::Broken(
            "the upgrade was not answered by a Polos server".to_owned(),
        ));
    }
    let upgraded = response.upgrade().await.map_err(|cause| broken(&cause))?;
    let socket =
        tokio_tungstenite::WebSocketStream::from_raw_socket(upgraded, Role::Client, Some(config()))
            .await;
    Ok(link(socket))
}

fn config() -> tokio_tungstenite::tungstenite::protocol::WebSocketConfig {
    tokio_tungstenite::tungstenite::protocol::WebSocketConfig::default()
        .max_message_size(Some(limits::MESSAGE_BYTES_MAX))
        .max_frame_size(Some(limits::MESSAGE_BYTES_MAX))
}

fn link<S>(socket: tokio_tungstenite::WebSocketStream<S>) -> Link
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    use tokio_tungstenite::tungstenite::{Error, Message};
    let (sink, stream) = socket.split();
    let broken = |cause: &Error| TransportError::Broken(cause.to_string());
    let sink = sink
        .with(|text: String| std::future::ready(Ok::<_, Error>(Message::text(text))))
        .sink_map_err(move |cause| broken(&cause));
    let stream = stream.filter_map(move |message| {
        std::future::ready(match message {
            Ok(Message::Text(text)) => Some(Ok(text.to_string())),
            Ok(Message::Close(Some(close))) => {
                Some(Err(TransportError::Broken(format!("closed by the server: {}", close.reason))))
            }
            Ok(_) => None,
            Err(cause) => Some(Err(broken(&cause))),
        })
    });
    Link { sink: Box::pin(sink), stream: Box::pin(stream) }
}
