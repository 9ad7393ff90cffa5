//! What the REST interface under `/v1` takes and gives: one file a noun.

mod approvals;
mod audit;
mod error;
mod events;
mod journal;
mod keys;
mod queues;
mod runs;
mod server;
mod sessions;
mod workers;

pub use approvals::*;
pub use audit::*;
pub use error::*;
pub use events::*;
pub use journal::*;
pub use keys::*;
pub use queues::*;
pub use runs::*;
pub use server::*;
pub use sessions::*;
pub use workers::*;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A page of a list.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Page<T> {
    /// What there is, newest first unless the call says otherwise.
    pub items: Vec<T>,
    /// Hand this as `cursor` to get the next page; absent on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}

/// How many items a page has unless `limit` says otherwise.
pub const PAGE_ITEMS: u32 = 50;
/// How many items a page has at the most.
pub const PAGE_ITEMS_MAX: u32 = 500;
