//! The one language that both towers speak: ids, values, journal records, worker frames and the
//! REST types. It holds data and their text forms; it never does I/O, keeps a clock or draws a
//! random number, and it decides nothing about runs.
//!
//! Everything here is persisted or sent. A field may be added (readers ignore what they do not
//! know); a field or name that has been released never changes its meaning.

pub mod definition;
pub mod failure;
pub mod frame;
pub mod id;
pub mod key;
pub mod limits;
pub mod namespace;
pub mod record;
pub mod rest;
pub mod run;
pub mod supersede;
pub mod value;
pub mod wait;

pub use definition::{Definition, DefinitionKind, OnError, QueueConfig};
pub use failure::{Blocked, Failure};
pub use id::{ApiKeyId, ApprovalId, EventId, RunId, SandboxId, SessionId, WorkerId};
pub use key::StepKey;
pub use namespace::Namespace;
pub use record::{Kind, NewRecord, Record};
pub use run::State;
pub use value::{Json, Value};
pub use wait::Wait;

/// Milliseconds since the Unix epoch, by the server's one clock.
pub type Millis = u64;
