//! Agents: a definition is data ([`Agent`], also from TOML and JSON files), and the loop that runs
//! it is an ordinary durable workflow on the SDK. Each model call and each tool call is a step, so
//! a crash repeats none of them, and a question to a person parks the run.
//!
//! Nothing here stores anything: what must survive is in the journal, or in the sandbox's workspace.

mod agent;
mod conversation;
mod file;
mod judge;
mod schema;
mod spent;

pub use agent::{
    Agent, ExecRules, FileRules, Invalid, Limits, ModelOptions, OnError, SandboxRules, SandboxScope,
};
pub use conversation::{Input, Output};
pub use file::{FileError, load_dir, load_file};
