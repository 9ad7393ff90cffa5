//! The run: what never changes, and where it stands.

use polos_protocol::frame::{Lost, Previous, Settled};
use polos_protocol::record::RunOptions;
use polos_protocol::{
    Blocked, DefinitionKind, Failure, Millis, Namespace, RunId, State, StepKey, Value, Wait,
    WorkerId,
};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A run as stored.
#[derive(Debug, Clone, PartialEq)]
pub struct Run {
    /// What never changes.
    pub row: Arc<RunRow>,
    /// Where it stands.
    pub status: RunStatus,
}

/// What is said once, when a run is made.
#[derive(Debug, Clone, PartialEq)]
pub struct RunRow {
    /// Its namespace.
    pub namespace: Namespace,
    /// Its id.
    pub id: RunId,
    /// The name of what it runs.
    pub workflow: String,
    /// What that is.
    pub kind: DefinitionKind,
    /// What it was given.
    pub input: Value,
    /// The key under which it was started.
    pub start_key: Option<String>,
    /// From which `uuid` and `random` derive, in hex.
    pub seed: Arc<str>,
    /// The first run of its tree.
    pub root: RunId,
    /// The run that started it.
    pub parent: Option<RunId>,
    /// The key of the parent's record that opened it.
    pub parent_key: Option<StepKey>,
    /// True if the parent neither waits for it nor cancels it.
    pub detached: bool,
    /// How deep it stands under its root.
    pub depth: u32,
    /// The queue in which it waits.
    pub queue: String,
    /// How it was asked to run.
    pub options: RunOptions,
    /// Who started it.
    pub principal: String,
    /// The run it was forked from.
    pub forked_from: Option<RunId>,
    /// When it was made.
    pub created_ms: Millis,
}

/// Where a run stands: rewritten whole when any of it changes. Steps do not change it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunStatus {
    /// The state. Queue slots follow from it and from `slot`.
    pub state: State,
    /// Since when it is in that state.
    pub since_ms: Millis,
    /// Raised whenever the run goes to another worker: the fence on every frame.
    pub assignment: u64,
    /// The run whose queue slot it is in, itself or an ancestor, if it keeps its slot while it
    /// waits. Any other run is in a slot while it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slot: Option<RunId>,
    /// The worker that has it, or had it last.
    pub worker: Option<WorkerId>,
    /// The newest build that recorded in it.
    pub build: Option<Arc<str>>,
    /// When that build was first seen: an older one may not go on with the run.
    #[serde(default)]
    pub build_seen_ms: Millis,
    /// How many workers died with it, one after the other.
    #[serde(default)]
    pub deaths: u32,
    /// True if it must run without neighbours on its worker.
    #[serde(default)]
    pub alone: bool,
    /// What it waits for, when parked.
    #[serde(default)]
    pub wait: Option<Wait>,
    /// What it waits for, in words, when parked.
    #[serde(default)]
    pub why: Option<String>,
    /// The place in each topic up to which it has seen events.
    #[serde(default)]
    pub cursors: BTreeMap<String, u64>,
    /// Places before those, by topic, of events that it took and gave back: a race was lost, or a
    /// person ordered a retry.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub given_back: BTreeMap<String, BTreeSet<u64>>,
    /// What it gave.
    #[serde(default)]
    pub output: Option<Value>,
    /// Why it failed or was cancelled.
    #[serde(default)]
    pub error: Option<Failure>,
    /// The step from which a resume begins again.
    #[serde(default)]
    pub failed_step: Option<StepKey>,
    /// Why it is blocked.
    #[serde(default)]
    pub blocked: Option<Blocked>,
    /// Its cancellation, once somebody asked for it.
    #[serde(default)]
    pub cancelling: Option<Cancelling>,
    /// How its last assignment ended.
    #[serde(default)]
    pub previous: Option<Previous>,
    /// Its assignments that ended without the process being known to be gone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lost: Vec<Lost>,
    /// When a worker first took it.
    #[serde(default)]
    pub started_ms: Option<Millis>,
    /// When it ended.
    #[serde(default)]
    pub ended_ms: Option<Millis>,
    /// How long it has waited for people, in all.
    #[serde(default)]
    pub people_ms: u64,
    /// Counts up when a person orders new idempotency keys.
    #[serde(default)]
    pub key_generation: u32,
    /// Steps in doubt that a person has settled and no worker has recorded yet.
    #[serde(default)]
    pub settled: Vec<Settled>,
    /// Disagreements that a person has accepted.
    #[serde(default)]
    pub accepted: Vec<StepKey>,
    /// True if a person let any build take it.
    #[serde(default)]
    pub any_build: bool,
}

impl RunStatus {
    /// A run that has just been made.
    pub fn queued(now: Millis) -> Self {
        Self {
            state: State::Queued,
            since_ms: now,
            assignment: 0,
            slot: None,
            worker: None,
            build: None,
            build_seen_ms: 0,
            deaths: 0,
            alone: false,
            wait: None,
            why: None,
            cursors: BTreeMap::new(),
            given_back: BTreeMap::new(),
            output: None,
            error: None,
            failed_step: None,
            blocked: None,
            cancelling: None,
            previous: None,
            lost: Vec::new(),
            started_ms: None,
            ended_ms: None,
            people_ms: 0,
            key_generation: 0,
            settled: Vec::new(),
            accepted: Vec::new(),
            any_build: false,
        }
    }
}

fn cancelled() -> String {
    "cancelled".to_owned()
}

/// A cancellation under way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cancelling {
    /// Who asked.
    pub by: String,
    /// Why.
    pub reason: Option<String>,
    /// The code of the error with which it ends: `cancelled`, `killed` or `deadline_exceeded`.
    #[serde(default = "cancelled")]
    pub code: String,
    /// When.
    pub at: Millis,
    /// When the server ends the run if its code has not.
    pub deadline_ms: Millis,
}
