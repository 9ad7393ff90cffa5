//! Frames from a worker to the server.

use super::{Replayed, frames};
use crate::{
    Blocked, Definition, Failure, Kind, NewRecord, QueueConfig, RunId, StepKey, Value, Wait,
    WorkerId,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

frames! {
    /// What a worker says.
    FromWorker {
        /// The first frame: who it is, what it can run, what it still holds.
        Hello(Hello) = "hello",
        /// The worker's own loop has taken a started run.
        Accept(RunRef) = "accept",
        /// Records to be made durable, for any number of runs.
        Record(RecordRequest) = "record",
        /// A run has nothing to do but wait; it stays in memory for a short while.
        Wait(WaitRequest) = "wait",
        /// A waiting run is to be parked; the worker forgets it when the server agrees.
        Park(ParkRequest) = "park",
        /// A run has ended with an output.
        Complete(CompleteRequest) = "complete",
        /// An error has left a run's code uncaught.
        Fail(FailRequest) = "fail",
        /// A run cannot go on without a person.
        Block(BlockRequest) = "block",
        /// A run is given back, whole: the worker is draining or cannot take it.
        Release(RunRef) = "release",
        /// A step will take longer than the definition's limit for steps.
        Busy(BusyRequest) = "busy",
        /// Live output: not journaled, resumable by position.
        Stream(StreamRequest) = "stream",
        /// A page of a run's journal is taken in: further ones may come.
        More(MoreRequest) = "more",
        /// A value that is kept by reference, please.
        Fetch(FetchRequest) = "fetch",
        /// Bytes to be kept by reference; refer to them once `stored` has come.
        Store(StoreRequest) = "store",
        /// No new runs, please: the worker wants to stop.
        Drain(Empty) = "drain",
        /// The answer to `ping`. (Any traffic renews the lease.)
        Pong(Empty) = "pong",
        /// How a dry replay ended. Never sent to a server.
        Replayed(Replayed) = "replayed",
    }
}

/// A body without fields.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
pub struct Empty {}

/// The first frame of a connection.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Hello {
    /// The lowest and the highest protocol version it speaks.
    pub protocol: [u16; 2],
    /// What it can do beyond the version's own.
    #[serde(default)]
    pub features: Vec<String>,
    /// The kinds of record it understands.
    #[serde(default)]
    pub kinds: Vec<Kind>,
    /// Who it is: the same over reconnections, another after a restart of the process.
    pub worker: WorkerId,
    /// A name for people.
    pub name: String,
    /// Where it runs.
    pub host: Host,
    /// The SDK and its version, such as `rust/0.1.0`.
    pub sdk: String,
    /// The build of the user's code.
    pub build: Arc<str>,
    /// Counts this worker's connections up: frames of an older one are dropped.
    pub connection: u64,
    /// What it can run.
    pub definitions: Vec<Definition>,
    /// Queues that its code declares.
    #[serde(default)]
    pub queues: Vec<QueueConfig>,
    /// How many runs it takes at once, not counting those that wait.
    pub slots: u32,
    /// Placement keys that it holds, such as sandboxes.
    #[serde(default)]
    pub placements: Vec<String>,
    /// The runs that it still has in memory.
    #[serde(default)]
    pub held: Vec<Held>,
    /// How many pages of journals may be under way to it at once, whatever runs they are of: sent,
    /// and not yet answered with `more`.
    #[serde(default = "one_page")]
    pub pages: u32,
}

fn one_page() -> u32 {
    1
}

/// Where a worker runs, so that a server on the same machine can see its process end.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Host {
    /// The machine's name.
    pub name: String,
    /// The kernel's boot id, or empty.
    #[serde(default)]
    pub boot: String,
    /// The process id, or 0.
    #[serde(default)]
    pub pid: u32,
    /// The start time of the process in clock ticks since boot, or 0: tells a reused id apart.
    #[serde(default)]
    pub pid_start: u64,
    /// The process namespace the id counts in, or empty.
    #[serde(default)]
    pub pid_namespace: String,
}

/// A run that a worker still has in memory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Held {
    /// The run.
    pub run: RunId,
    /// The assignment under which it was given.
    pub assignment: u64,
    /// Up to where the worker has the journal, without a gap.
    pub seq: u64,
    /// What it waits for, if nothing of it runs here and nothing will before the server sends it
    /// something: then it takes no slot. Absent, it counts as working.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wait: Option<Wait>,
}

/// A run and the assignment under which the worker has it: the fence on every frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RunRef {
    /// The run.
    pub run: RunId,
    /// The assignment.
    pub assignment: u64,
}

/// Records of any number of runs.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct RecordRequest {
    /// One entry a run.
    pub runs: Vec<RunRecords>,
}

/// Records of one run, in the worker's order.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct RunRecords {
    /// The run.
    pub run: RunId,
    /// The assignment.
    pub assignment: u64,
    /// The records, `n` ascending without a gap.
    pub records: Vec<NewRecord>,
}

/// A run that waits in its worker's memory.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct WaitRequest {
    /// The run.
    pub run: RunId,
    /// The assignment.
    pub assignment: u64,
    /// Up to where the worker has the journal: the server ignores the frame if there is more.
    pub seq: u64,
    /// The last record it sent (`n`): the server ignores the frame if it has not got them all.
    pub n: u64,
    /// What it waits for.
    pub wait: Wait,
}

/// A run to be parked. Refused by silence if the journal has moved on: then records are on their
/// way to the worker.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct ParkRequest {
    /// The run.
    pub run: RunId,
    /// The assignment.
    pub assignment: u64,
    /// Up to where the worker has the journal.
    pub seq: u64,
    /// The last record it sent (`n`).
    pub n: u64,
    /// What it waits for.
    pub wait: Wait,
}

/// A run that has ended well.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct CompleteRequest {
    /// The run.
    pub run: RunId,
    /// The assignment.
    pub assignment: u64,
    /// The last record it sent (`n`).
    pub n: u64,
    /// Its output.
    pub value: Value,
}

/// A run whose code raised.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct FailRequest {
    /// The run.
    pub run: RunId,
    /// The assignment.
    pub assignment: u64,
    /// The last record it sent (`n`).
    pub n: u64,
    /// What was raised. The code `cancelled` ends a run that is being cancelled.
    pub error: Failure,
    /// The step that failed, if the error came from one: where a resume begins again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<StepKey>,
}

/// A run that needs a person.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct BlockRequest {
    /// The run.
    pub run: RunId,
    /// The assignment.
    pub assignment: u64,
    /// The last record it sent (`n`).
    pub n: u64,
    /// Why.
    pub blocked: Blocked,
}

/// A step that takes long.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct BusyRequest {
    /// The run.
    pub run: RunId,
    /// The assignment.
    pub assignment: u64,
    /// How long from now it may take at the most.
    pub for_ms: u64,
}

/// Live output of one run.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct StreamRequest {
    /// The run.
    pub run: RunId,
    /// The assignment.
    pub assignment: u64,
    /// What came, in order.
    pub items: Vec<StreamItem>,
}

/// One piece of live output.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct StreamItem {
    /// The step it comes from; empty for the run.
    pub key: StepKey,
    /// Which attempt of the step: a step that runs again says so by a higher number.
    pub attempt: u32,
    /// What it is: `text`, `thinking`, `tool_call`, `stdout`, `stderr`, `progress`, `log`, or the
    /// user's own word.
    pub kind: Arc<str>,
    /// What it says.
    pub data: Value,
}

/// The answer to each page after which more is to come, and so the credit for another one.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct MoreRequest {
    /// The run.
    pub run: RunId,
    /// The assignment.
    pub assignment: u64,
    /// Up to where the worker has the journal.
    pub seq: u64,
}

/// A request for a value kept by reference.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct FetchRequest {
    /// The run in whose journal the reference stands.
    pub run: RunId,
    /// The hash it refers to.
    pub hash: Arc<str>,
}

/// Bytes to be kept by reference, in pieces below the frame's limit.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct StoreRequest {
    /// The run that will refer to them.
    pub run: RunId,
    /// The SHA-256 of the whole, in hex.
    pub hash: Arc<str>,
    /// The size of the whole in bytes.
    pub size: u64,
    /// Where this piece begins.
    pub offset: u64,
    /// The piece, JSON text cut at a character's border.
    pub text: String,
}
