//! The six tools (exec, read, write, edit, glob, grep), served from inside a sandbox.
//!
//! A worker starts this program in a box and speaks [`message`]s with it in length-prefixed
//! [`frame`]s over standard input and output, or, after the first worker died, over a Unix socket
//! in the state directory. In the box it is the supervisor: it starts each command at most once
//! per command id, keeps its output and outcome in files, and kills whole process trees.
//!
//! It holds no policy: what may run and who must be asked is decided in the worker. What it says
//! is to be taken as hostile by the worker: it can be spoiled by whatever runs in its box.

mod base64;
pub mod client;
mod commands;
mod durable;
mod family;
pub mod files;
pub mod frame;
mod inherit;
pub mod message;
mod plain;
pub mod program;
mod record;
mod room;
pub mod search;
pub mod server;
mod supervisor;
pub mod tools;

pub use client::{Client, Incoming};
