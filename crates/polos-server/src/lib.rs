//! REST, the worker socket and the engine's driver: what stands between the network and the rules
//! of runs. It holds no SQL, and knows nothing of agents, models or sandboxes.
//!
//! Reading order: [`driver`] owns the engine and the order of things; `worker` is a worker's
//! connection; `rest` holds one file a noun; `auth` says who may ask; [`serve()`] puts them together.
//! A change of state goes through [`driver::Handle::request`]; what only reads goes to the store.

pub mod address;
mod auth;
mod changes;
pub mod clock;
pub mod driver;
mod entropy;
mod health;
pub mod json;
mod listener;
pub mod rest;
mod retention;
pub mod serve;
mod worker;

pub use auth::{TOKEN_FILE, TokenError};
pub use clock::Clock;
pub use driver::{Call, Handle, Service};
pub use serve::{Error, Options, Server, serve};
