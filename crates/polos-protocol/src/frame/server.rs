//! Frames from the server to a worker.

use super::frames;
use super::worker::{Empty, RunRef};
use crate::record::RunOptions;
use crate::{DefinitionKind, Millis, Namespace, Record, RunId, StepKey, Value};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

frames! {
    /// What the server says to a worker.
    FromServer {
        /// The answer to `hello`.
        Welcome(Welcome) = "welcome",
        /// A run for the worker, with its journal if that fits a page.
        Start(Box<Start>) = "start",
        /// Records that the worker does not have: a further page, or what the server itself added.
        Append(Append) = "append",
        /// Records of the worker's that are durable.
        Recorded(Recorded) = "recorded",
        /// A run is the worker's no more: parked, ended, or given back. Forget it.
        Done(RunRef) = "done",
        /// A run is the worker's no more, and not as it thinks: drop it and what it was doing.
        Revoked(Revoked) = "revoked",
        /// A value that was asked for.
        Blob(Blob) = "blob",
        /// A value is kept and may be referred to.
        Stored(Stored) = "stored",
        /// Take no new runs; park or finish the ones there are.
        Drain(Empty) = "drain",
        /// Say something.
        Ping(Empty) = "ping",
        /// The connection ends, and why.
        Error(Fatal) = "error",
    }
}

/// The answer to `hello`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Welcome {
    /// The protocol version of this connection.
    pub protocol: u16,
    /// What the server can do beyond the version's own.
    #[serde(default)]
    pub features: Vec<String>,
    /// The server's version, such as `0.1.0`.
    pub server: String,
    /// Counts the store's lives: a worker that has seen a higher one refuses to go on with this.
    pub incarnation: u64,
    /// The namespace of the worker's key.
    pub namespace: Namespace,
    /// The server's time.
    pub now: Millis,
    /// A connection that says nothing for this long has lost its runs.
    pub lease_ms: u64,
    /// How often the server pings.
    pub ping_ms: u64,
    /// How long a waiting run is to stay in the worker's memory.
    pub hot_ms: u64,
    /// The held runs that stay with the worker, and up to where their journals go; what the worker
    /// lacks follows in `append`. A held run that is not named here is the worker's no more.
    #[serde(default)]
    pub kept: Vec<Kept>,
}

/// A held run that stays with its worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Kept {
    /// The run.
    pub run: RunId,
    /// The assignment.
    pub assignment: u64,
    /// The journal's highest sequence number.
    pub seq: u64,
    /// The highest `n` of this assignment that is durable: later ones are to be sent again.
    pub n: u64,
}

/// A run for a worker.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Start {
    /// The run.
    pub run: RunId,
    /// The assignment under which it is given.
    pub assignment: u64,
    /// The name of what it runs.
    pub workflow: String,
    /// What that is.
    pub kind: DefinitionKind,
    /// Its input; a large one by reference.
    pub input: Value,
    /// From which `uuid` and `random` derive, in hex.
    pub seed: Arc<str>,
    /// When the run was created: its first `now`.
    pub created_ms: Millis,
    /// The server's time.
    pub now: Millis,
    /// How it was asked to run.
    #[serde(default)]
    pub options: RunOptions,
    /// The first run of its tree.
    pub root: RunId,
    /// The run that started it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<RunId>,
    /// How deep it stands under its root.
    #[serde(default)]
    pub depth: u32,
    /// The build that last recorded in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub build: Option<Arc<str>>,
    /// Who started it.
    pub principal: String,
    /// How the last assignment ended, if there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<Previous>,
    /// Assignments whose process is not known to be gone: what they began may still be acting. A
    /// worker that looks only at `previous` is safe too, and waits longer.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lost: Vec<Lost>,
    /// True if the run is on trial: it goes alone, since it may have killed its workers.
    #[serde(default)]
    pub alone: bool,
    /// The key generation: counts up when a person orders new idempotency keys.
    #[serde(default)]
    pub key_generation: u32,
    /// `once` steps in doubt that a person has settled, and how.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub settled: Vec<Settled>,
    /// Disagreements between code and journal that a person has accepted, as keys.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub accepted: Vec<StepKey>,
    /// The whole journal, if it fits a page; else it is empty here and comes in `append`s.
    /// Superseded records are left out, and of each record what only people want: who wrote it
    /// and when. A large value stands by reference.
    pub journal: Vec<Record>,
    /// The journal's highest sequence number.
    pub seq: u64,
}

/// How the last assignment ended, with all before it that may still be acting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Previous {
    /// True if nothing of them can act any more.
    pub dead: bool,
    /// When their leases surely had ended, by the server's clock.
    pub lease_end_ms: Millis,
}

/// An assignment whose process is not known to be gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Lost {
    /// The assignment.
    pub assignment: u64,
    /// When its lease surely had ended, by the server's clock.
    pub lease_end_ms: Millis,
}

/// A person's word on a step in doubt.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Settled {
    /// The step.
    pub key: StepKey,
    /// Its result, if it is done; absent if it was not done and is to run again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub done: Option<Value>,
    /// Who said so.
    pub by: String,
}

/// Records that the worker does not have, in order and without a gap after what it has (superseded
/// ones left out). A record with an `n` of this assignment acknowledges that record.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Append {
    /// The run.
    pub run: RunId,
    /// The assignment.
    pub assignment: u64,
    /// The records.
    pub records: Vec<Record>,
    /// Up to where the journal is now known to the worker.
    pub seq: u64,
    /// True if this is a page and further ones follow: it is to be answered with `more`.
    #[serde(default)]
    pub more: bool,
}

/// Records of the worker's that are durable.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Recorded {
    /// When they were committed.
    pub at: Millis,
    /// One entry a run and request: `[run, assignment, n, seq]`, the record `n` stands at `seq`,
    /// and the ones before it that were not yet acknowledged stand right before it.
    pub runs: Vec<(RunId, u64, u64, u64)>,
}

/// A run that is the worker's no more.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Revoked {
    /// The run.
    pub run: RunId,
    /// The assignment that ended.
    pub assignment: u64,
    /// Why, for programs: `stale`, `ended`, `killed`, `wedged`, `invalid`.
    pub code: String,
    /// Why, for people.
    pub message: String,
}

/// A value that was asked for.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Blob {
    /// Its hash.
    pub hash: Arc<str>,
    /// The size of the whole in bytes; 0 if there is no such value.
    pub size: u64,
    /// Where this piece begins.
    pub offset: u64,
    /// The piece.
    pub text: String,
}

/// A value that is kept.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Stored {
    /// Its hash.
    pub hash: Arc<str>,
}

/// The last frame of a connection that went wrong.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Fatal {
    /// Why, for programs.
    pub code: String,
    /// Why, for people.
    pub message: String,
    /// The way out.
    #[serde(default)]
    pub hint: String,
}
