//! Workers: each has one connection, over a WebSocket or within the process. Frames are parsed and
//! made text here, on the connection's own tasks; what is wrong with a frame ends its connection
//! and nothing else.

mod bulk;
mod connection;
mod hello;
mod memory;
mod merge;
mod process;
mod socket;
mod sockets;
mod uploads;
mod writer;

pub(crate) use socket::upgrade;
pub(crate) use sockets::Sockets;
pub(crate) use uploads::hex;

use polos_protocol::Namespace;
use tokio_util::sync::CancellationToken;

/// Who may speak on a connection.
#[derive(Debug, Clone)]
pub(crate) struct Admission {
    /// The namespace of the key.
    pub(crate) namespace: Namespace,
    /// Cancelled when the key is revoked.
    pub(crate) revoked: CancellationToken,
    /// Cancelled when the server stops.
    pub(crate) stopping: CancellationToken,
}

/// What comes from a worker.
#[derive(Debug)]
enum Incoming {
    /// A frame's text.
    Text(Text),
    /// Something that no frame can be.
    Bad(polos_protocol::frame::Fatal),
}

/// A text, as the transport has it.
#[derive(Debug)]
enum Text {
    Socket(tokio_tungstenite::tungstenite::Utf8Bytes),
    Memory(String),
}

impl Text {
    fn as_str(&self) -> &str {
        match self {
            Self::Socket(text) => text,
            Self::Memory(text) => text,
        }
    }
}

/// What goes to a worker.
#[derive(Debug)]
enum Outgoing {
    /// A frame's text.
    Text(String),
    /// The connection ends.
    Close,
}

fn fatal(code: &str, message: impl Into<String>, hint: &str) -> polos_protocol::frame::Fatal {
    polos_protocol::frame::Fatal { code: code.into(), message: message.into(), hint: hint.into() }
}
