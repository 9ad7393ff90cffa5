//! Durable workflows in plain Rust: a worker that runs them, the context that their code asks, the
//! replay core between code and journal, and a client for everything else.

mod ctx;
mod error;
mod http;
mod json;
mod stream;

pub mod client;
pub mod replay;
pub mod worker;

pub use client::{Client, ClientError};
pub use ctx::*;
pub use error::{Error, Result, StepError};
pub use polos_protocol::record::{Answer, OpenApproval as Approval, RunOptions};
pub use polos_protocol::{Definition, DefinitionKind, Failure, OnError, QueueConfig};
pub use replay::{FingerprintPolicy, Retry, Verdict, Workflow};
pub use stream::{NoStreams, Streams};
pub use worker::{Worker, shutdown_signal, workflow};
