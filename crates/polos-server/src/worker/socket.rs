//! The worker's WebSocket: the handshake, and messages as frames.

use super::hello::too_large;
use super::{Admission, Incoming, Outgoing, Text, connection, fatal};
use crate::driver::Handle;
use crate::rest::Refusal;
use axum::body::Body;
use axum::http::{HeaderMap, Request, Response, StatusCode, header};
use futures_util::{SinkExt, Stream, StreamExt, future};
use hyper_util::rt::TokioIo;
use polos_protocol::limits::MESSAGE_BYTES_MAX;
use std::future::ready;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::error::{CapacityError, Error};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Message, Role, WebSocketConfig};

/// Messages up to this size are read, to be refused in words; larger ones end the connection.
const READ_BYTES_MAX: usize = 4 * MESSAGE_BYTES_MAX;
const WRITE_BUFFER_BYTES: usize = 128 << 10;

/// Answers the handshake and serves the connection on a task of its own.
pub(crate) fn upgrade(
    handle: Handle,
    admission: Admission,
    mut request: Request<Body>,
) -> Result<Response<Body>, Refusal> {
    let accept = accept_key(request.headers())?;
    let upgrade = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        match upgrade.await {
            Ok(upgraded) => {
                let config = Some(config());
                let io = TokioIo::new(upgraded);
                let socket = WebSocketStream::from_raw_socket(io, Role::Server, config).await;
                let (sink, stream) = socket.split();
                let sink = sink.with(|out| ready(Ok::<_, Error>(message(out))));
                connection::serve(handle, admission, incoming(stream), sink).await;
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
