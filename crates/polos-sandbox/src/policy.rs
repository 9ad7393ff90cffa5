//! What may run and change without a person, and what exactly they are asked otherwise.
//!
//! A policy is consent, never containment: what it allows still runs in a box. In doubt it asks.
//! Nothing here runs anything or touches a file.

mod binding;
mod describe;
mod exec;
mod files;
mod git;
mod guard;
mod options;
mod pattern;
mod stream_editors;
mod strict;

pub use binding::Binding;
pub use exec::{Ask, Command, ExecPolicy, ExecQuestion, Security, Verdict};
pub use files::{FileApproval, FileOperation, FilePolicy, FileVerdict};
pub use guard::reveal;
pub use pattern::{Error, Lint, Pattern};
