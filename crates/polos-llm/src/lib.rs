//! Model providers behind one streaming interface: a [`Request`] goes in, [`Delta`]s come out while
//! the model speaks, and a whole [`Response`] at the end, or an [`Error`] that says whether trying
//! again can help.
//!
//! Nothing here is durable and nothing here retries (but for one stale pooled connection): whoever
//! keeps the journal decides what is asked again. Nothing here reads a clock into a request either:
//! the bytes sent are a function of the [`Request`] alone, so that prompt caches hit and
//! [`Prepared::hash`] can be compared on replay.

mod anthropic;
mod caps;
mod env;
mod error;
mod failure;
mod http;
mod json;
mod ledger;
mod message;
mod models;
mod object;
mod openai;
mod prices;
mod provider;
mod request;
mod response;
mod retry_after;
mod scripted;
mod secret;
mod sse;

pub use anthropic::{Anthropic, AnthropicOptions};
pub use env::{FromEnv, from_env, from_lookup, from_lookup_named};
pub use error::{Error, ErrorKind};
pub use http::Timeouts;
pub use json::Json;
pub use ledger::{Ledger, Ledgered};
pub use message::{Block, ImageSource, Message, Role};
pub use models::{ModelFacts, model_facts};
pub use openai::{Dialect, OpenAi, OpenAiOptions};
pub use prices::{Cost, Prices};
pub use provider::{OnDelta, Prepared, Provider, Streaming, complete};
pub use request::{CacheFor, Effort, Request, SystemBlock, Thinking, ToolChoice, ToolSpec};
pub use response::{Delta, Response, StopReason, Usage};
pub use scripted::{Script, Scripted};
pub use secret::Secret;
