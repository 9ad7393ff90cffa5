//! The worker's WebSocket: the handshake, and messages as frames.

use super::hello::too_large;
use super::{Admission, Incoming, Outgoing, Sockets, Text, connection, fatal};
use crate::driver::Handle;
use crate::rest::Refusal;
use axum::body::Body;
use axum::http::{HeaderMap, Request, Response, StatusCode, header};
use bytes::Bytes;
use futures_util::{SinkExt, Stream, StreamExt, future};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use polos_protocol::limits::MESSAGE_BYTES_MAX;
use std::future::ready;
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::error::{CapacityError, Error};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Message, Role, WebSocketConfig};

/// Messages up to this size are read, to be refused in words; larger ones end the connection.
const READ_BYTES_MAX: usize = 4 * MESSAGE_BYTES_MAX;
const WRITE_BUFFER_BYTES: usize = 128 << 10;

/// Answers the handshake and serves the connection on one of the sockets' threads.
pub(crate) fn upgrade(
    handle: Handle,
    admission: Admission,
    sockets: Sockets,
    mut request: Request<Body>,
) -> Result<Response<Body>, Refusal> {
    let accept = accept_key(request.headers())?;
    let upgrade = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        match upgrade.await.map_err(std::io::Error::other).and_then(detach) {
            Ok((stream, read)) => {
                let home = sockets.next().clone();
                // The threads live as long as their connections.
                home.spawn(async move {
                    let _sockets = sockets;
                    if let Err(error) = serve(handle, admission, stream, read).await {
                        tracing::warn!(%error, "a worker's socket cannot be served");
                    }
                });
            }
            Err(error) => tracing::debug!(%error, "a worker's handshake broke off"),
        }
    });
    Response::builder()
        .status(StatusCode::SWITCHING_PROTOCOLS)
        .header(header::CONNECTION, "upgrade")
        .header(header::UPGRADE, "websocket")
        .header(header::SEC_WEBSOCKET_ACCEPT, accept)
        .body(Body::empty())
        .map_err(|error| Refusal::internal(&error))
}

/// Takes the socket out of the reactor that answered the handshake, with what was read already.
fn detach(upgraded: Upgraded) -> std::io::Result<(std::net::TcpStream, Bytes)> {
    let parts = upgraded
        .downcast::<TokioIo<TcpStream>>()
        .map_err(|_| std::io::Error::other("it is no socket of the listener's"))?;
    Ok((parts.io.into_inner().into_std()?, parts.read_buf))
}

async fn serve(
    handle: Handle,
    admission: Admission,
    stream: std::net::TcpStream,
    read: Bytes,
) -> std::io::Result<()> {
    let stream = TcpStream::from_std(stream)?;
    let (read, config) = (read.to_vec(), Some(config()));
    let socket = WebSocketStream::from_partially_read(stream, read, Role::Server, config).await;
    let (sink, stream) = socket.split();
    let sink = sink.with(|out| ready(Ok::<_, Error>(message(out))));
    connection::serve(handle, admission, incoming(stream), sink).await;
    Ok(())
}

fn config() -> WebSocketConfig {
    WebSocketConfig::default()
        .max_message_size(Some(READ_BYTES_MAX))
        .max_frame_size(Some(READ_BYTES_MAX))
        .write_buffer_size(WRITE_BUFFER_BYTES)
}

fn accept_key(headers: &HeaderMap) -> Result<String, Refusal> {
    let says = |name: header::HeaderName, word: &str| {
        headers
            .get_all(name)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .any(|value| value.split(',').any(|token| token.trim().eq_ignore_ascii_case(word)))
    };
    let wanted = says(header::CONNECTION, "upgrade")
        && says(header::UPGRADE, "websocket")
        && says(header::SEC_WEBSOCKET_VERSION, "13");
    match headers.get(header::SEC_WEBSOCKET_KEY) {
        Some(key) if wanted => Ok(derive_accept_key(key.as_bytes())),
        _ => Err(Refusal::new(
            StatusCode::UPGRADE_REQUIRED,
            "websocket_expected",
            "`/v1/worker` speaks WebSocket, version 13",
            "connect with an SDK",
        )),
    }
}

fn message(out: Outgoing) -> Message {
    match out {
        Outgoing::Text(text) => Message::text(text),
        Outgoing::Close => Message::Close(None),
    }
}

fn incoming<S>(stream: S) -> impl Stream<Item = Incoming> + Send + Unpin
where
    S: Stream<Item = Result<Message, Error>> + Send + Unpin,
{
    stream
        .filter_map(|message| {
            future::ready(match message {
                Ok(Message::Text(text)) => Some(Some(Incoming::Text(Text::Socket(text)))),
                Ok(Message::Binary(_)) => Some(Some(Incoming::Bad(fatal(
                    "binary_message",
                    "a binary message; frames are text",
                    "use an SDK of the server's version",
                )))),
                Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_)) => None,
                Ok(Message::Close(_)) => Some(None),
                Err(error) => Some(broken(&error).map(Incoming::Bad)),
            })
        })
        .take_while(|message| future::ready(message.is_some()))
        .filter_map(future::ready)
}

/// What a worker is told about an error of its side of the socket; nothing if it is gone.
fn broken(error: &Error) -> Option<polos_protocol::frame::Fatal> {
    match error {
        Error::Capacity(CapacityError::MessageTooLong { size, .. }) => Some(too_large(*size)),
        Error::Capacity(_) | Error::Protocol(_) | Error::Utf8(_) => {
            Some(fatal("invalid_message", error.to_string(), "use an SDK of the server's version"))
        }
        _ => None,
    }
}
