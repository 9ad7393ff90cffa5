//! The driver: one thread of its own that owns the engine. It takes what waits in its channel,
//! lets the engine decide, commits once for all of it, and only then lets anything out.
//!
//! What comes while a commit runs forms the next batch, so a thousand concurrent steps share one
//! fsync. The thread never waits for a connection: a worker that does not take its frames loses its
//! connection.

mod handle;
mod message;
mod outage;
mod outbox;
mod service;
mod turn;

pub use handle::{Call, Handle};
pub use service::{Error, Options, Service};

pub(crate) use message::Message;
pub(crate) use outbox::{Letters, Outbox, OutboxFrames};
