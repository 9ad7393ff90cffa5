//! The rules of runs, as a state machine: `(moment, input) -> (commands, outputs)`. It reads rows
//! through the store's read side, but never writes, prints, or looks at a clock; time and entropy
//! come with every input.
//!
//! The driver (in polos-server, or the simulation) does this in a loop:
//! 1. [`Engine::handle`] each waiting input, in order;
//! 2. [`Engine::take_commands`] and commit them in one batch;
//! 3. if that succeeded, [`Engine::committed`] and deliver the outputs it returns, in order;
//!    if it did not, throw the engine away, close every connection, and [`Engine::load`] a new one.
//!
//! Reading order: [`input`] and [`output`] are the two sides; `live` is a run in memory; `frame` and
//! `request` hold one file a frame or request; `schedule` decides which run goes where;
//! [`pager`] is what the driver needs to send long journals.

mod deadlock;
mod engine;
pub mod error;
mod finish;
mod frame;
mod ids;
pub mod input;
mod journal;
mod live;
pub mod output;
mod overlay;
pub mod pager;
mod publish;
mod request;
mod resolve;
mod schedule;
mod tick;
mod timers;
mod worker;

pub use engine::{Config, Engine};
pub use error::Error;
pub use input::{ConnectionId, Input, Kept, Moment, Request, RequestId};
pub use output::{Output, Response};
pub use pager::Pager;
