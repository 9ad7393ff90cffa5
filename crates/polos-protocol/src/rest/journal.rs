//! A run's journal and live events as REST shows them.

use crate::record::Record;
use crate::{Millis, RunId, State};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A page of a journal, oldest first. `GET /v1/runs/{id}/journal?after=SEQ&limit=N`
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct JournalPage {
    /// The run.
    pub run: RunId,
    /// The records.
    pub records: Vec<JournalEntry>,
    /// Hand this as `after` to get the next page; absent on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_after: Option<u64>,
}

/// A record, and whether a later reset took it back.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct JournalEntry {
    /// The record.
    pub record: Record,
    /// True if a retry superseded it: it is history, not part of the run's course.
    #[serde(default)]
    pub superseded: bool,
}

/// An event of `GET /v1/runs/{id}/events` (SSE). The SSE `id` is `SEQ.POSITION`: give it back in
/// `Last-Event-ID` to go on after it. The SSE `event` is the name of the variant.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RunEvent {
    /// A record was committed. A large value is left out (`value` absent).
    Record(Box<Record>),
    /// Live output of a step.
    Stream(StreamEvent),
    /// The run's state changed, or is this at the beginning of the stream.
    State(StateEvent),
}

/// Live output of a step.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct StreamEvent {
    /// Its place in the run's live output, from 1.
    pub position: u64,
    /// When it came.
    pub at: Millis,
    /// What it is.
    pub item: crate::frame::StreamItem,
}

/// Where a run stands.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct StateEvent {
    /// The state.
    pub state: State,
    /// One sentence: what it waits for and what would let it go on.
    pub why: String,
}
