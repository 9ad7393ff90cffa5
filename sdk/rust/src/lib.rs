//! Durable workflows in plain Rust: a worker that runs them, the context that their code asks, the
//! replay core between code and journal, and a client for everything else.

mod ctx;
mod error;
mod json;
mod stream;

pub mod replay;

pub use ctx::*;
pub use error::{Error, Result, StepError};
pub use polos_protocol::Failure;
pub use polos_protocol::record::{Answer, OpenApproval as Approval, RunOptions};
pub use replay::{FingerprintPolicy, Retry, Verdict};
pub use stream::{NoStreams, Streams};
