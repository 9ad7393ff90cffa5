//! Agents: a definition is data ([`Agent`], also from TOML and JSON files), and the loop that runs
//! it is an ordinary durable workflow on the SDK. Each model call and each tool call is a step, so
//! a crash repeats none of them, and a question to a person parks the run.
//!
//! Nothing here stores anything: what must survive is in the journal, or in the sandbox's workspace.

mod agent;
mod boxes;
mod change;
mod conversation;
mod exec;
mod file;
mod grants;
pub mod guest;
mod history;
mod judge;
mod look;
mod model;
mod models;
mod reach;
pub mod recorded;
mod run;
mod schema;
mod spent;
mod tool;
mod turn;
mod work;
mod worker;

pub use agent::{Agent, Invalid, Limits, ModelOptions, OnError};
pub use boxes::{Boxes, BoxesConfig, Desk, named_id};
pub use conversation::{Input, Output};
pub use file::{FileError, load_dir, load_file};
pub use models::{Model, Models};
pub use tool::Tool;
pub use worker::{NativeConfig, OnBegin, SetupError, native_worker, tend};
