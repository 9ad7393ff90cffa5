//! The journal: what a record is, and what each kind of record says.
//!
//! A record is one row, written once. Its outcome stands in `value` or `error`; what only its kind
//! knows stands in `detail`, as JSON that [`Record::detail`] parses on demand.

use crate::{ApprovalId, Failure, Millis, RunId, StepKey, Value, WorkerId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What a record is about. Persisted by name; a name never changes its meaning. A worker that
/// does not list a kind in its `hello` is not sent a run whose journal holds it.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// From the worker: a step's outcome. Detail: [`StepDetail`].
    Step,
    /// From the worker: a `once` step is about to act. Detail: [`IntentDetail`].
    Intent,
    /// From the worker: an attempt failed and another will follow. Detail: [`AttemptDetail`].
    Attempt,
    /// From the worker: something to wait for (or a detached child). Detail: [`Open`].
    Open,
    /// From the server: what was opened under this key has its outcome. Detail: [`ResolvedDetail`].
    Resolved,
    /// From the worker: an event published, `value` is its payload. Detail: [`EmitDetail`].
    Emit,
    /// From the worker: the branch or step under this key lost a race and was given up.
    Lost,
    /// From the worker: the code declared something. Detail: [`Marker`].
    Marker,
    /// From the server: the run is being cancelled from here on. `error` says by whom and why.
    Cancel,
    /// From the server: a person ordered a retry. Detail: [`ResetDetail`].
    Reset,
    /// From the server: an operator's verb, for the story. Detail: [`VerbDetail`].
    Verb,
}

impl Kind {
    /// All kinds that this build knows.
    pub const ALL: [Self; 11] = [
        Self::Step,
        Self::Intent,
        Self::Attempt,
        Self::Open,
        Self::Resolved,
        Self::Emit,
        Self::Lost,
        Self::Marker,
        Self::Cancel,
        Self::Reset,
        Self::Verb,
    ];

    /// The name under which the kind is persisted and sent.
    pub fn name(self) -> &'static str {
        match self {
            Self::Step => "step",
            Self::Intent => "intent",
            Self::Attempt => "attempt",
            Self::Open => "open",
            Self::Resolved => "resolved",
            Self::Emit => "emit",
            Self::Lost => "lost",
            Self::Marker => "marker",
            Self::Cancel => "cancel",
            Self::Reset => "reset",
            Self::Verb => "verb",
        }
    }

    /// Reads a persisted name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// True for the kinds that a worker may write.
    pub fn is_from_worker(self) -> bool {
        !matches!(self, Self::Resolved | Self::Cancel | Self::Reset | Self::Verb)
    }
}

/// A record as a worker asks for it.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct NewRecord {
    /// The worker's own number of this record within its assignment, from 1, without a gap.
    pub n: u64,
    /// What it is about.
    pub kind: Kind,
    /// The version of the kind's form; 1 today.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub version: u16,
    /// The step's key; empty for the run as a whole.
    pub key: StepKey,
    /// The highest sequence number whose outcome the code had been handed when it asked for this.
    pub after: u64,
    /// Which attempt this is the outcome of, from 1.
    #[serde(default = "one_attempt", skip_serializing_if = "is_one_attempt")]
    pub attempt: u32,
    /// A hash of the canonical arguments, where they are compared on replay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<Arc<str>>,
    /// The outcome, if it is a value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<Value>,
    /// The outcome, if it is an error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Failure>,
    /// What only the kind knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<serde_json::Value>")]
    pub detail: Option<Arc<RawValue>>,
    /// When the code asked, by the worker's clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requested_ms: Option<Millis>,
    /// When the attempt began, by the worker's clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_ms: Option<Millis>,
    /// When the attempt ended, by the worker's clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_ms: Option<Millis>,
    /// The W3C trace context of the attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<Arc<str>>,
}

fn one() -> u16 {
    1
}
fn one_attempt() -> u32 {
    1
}
#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde wants")]
fn is_one(version: &u16) -> bool {
    *version == 1
}
#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde wants")]
fn is_one_attempt(attempt: &u32) -> bool {
    *attempt == 1
}

impl NewRecord {
    /// A record with nothing but its place: the rest is set by the caller.
    pub fn new(n: u64, kind: Kind, key: StepKey, after: u64) -> Self {
        Self {
            n,
            kind,
            version: 1,
            key,
            after,
            attempt: 1,
            fingerprint: None,
            value: None,
            error: None,
            detail: None,
            requested_ms: None,
            started_ms: None,
            ended_ms: None,
            traceparent: None,
        }
    }

    /// Sets the kind's own detail.
    pub fn with_detail<T: Serialize>(mut self, detail: &T) -> serde_json::Result<Self> {
        self.detail = Some(serde_json::value::to_raw_value(detail)?.into());
        Ok(self)
    }

    /// Parses the kind's own detail; an absent detail reads as JSON `null`.
    pub fn detail<'a, T: Deserialize<'a>>(&'a self) -> serde_json::Result<T> {
        serde_json::from_str(self.detail.as_deref().map_or("null", RawValue::get))
    }

    /// How many bytes the record carries, for limits and credit.
    pub fn size(&self) -> usize {
        96 + self.key.as_str().len()
            + self.value.as_ref().and_then(Value::text).map_or(0, str::len)
            + self.detail.as_deref().map_or(0, |d| d.get().len())
            + self.error.as_ref().map_or(0, |e| 64 + e.message.len())
    }
}

/// A record as the journal holds it.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Record {
    /// Its place in the journal, assigned at commit: the only order there is.
    pub seq: u64,
    /// When it was committed, by the server's clock.
    pub at: Millis,
    /// The assignment that wrote it; 0 for what the server wrote.
    #[serde(default)]
    pub assignment: u64,
    /// The worker that wrote it, if one did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker: Option<WorkerId>,
    /// The build that wrote it, if a worker did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub build: Option<Arc<str>>,
    /// What was asked for. `n` is 0 for what the server wrote.
    pub record: NewRecord,
}

/// Adds what stands in `detail` and in the server's values to a schema: frames hold them as JSON.
pub(crate) fn describe_details(generator: &mut schemars::SchemaGenerator) {
    generator.subschema_for::<StepDetail>();
    generator.subschema_for::<IntentDetail>();
    generator.subschema_for::<AttemptDetail>();
    generator.subschema_for::<Open>();
    generator.subschema_for::<ResolvedDetail>();
    generator.subschema_for::<EmitDetail>();
    generator.subschema_for::<Marker>();
    generator.subschema_for::<ResetDetail>();
    generator.subschema_for::<VerbDetail>();
    generator.subschema_for::<Answer>();
    generator.subschema_for::<EventValue>();
}

/// Whether a step's effect may happen again when nobody knows if it did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// It may run again, with the same idempotency key.
    #[default]
    Repeatable,
    /// It is never blindly repeated.
    Once,
}

/// What a [`Kind::Step`] record adds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StepDetail {
    /// What sort of step: `step`, `model`, `tool`, `exec` and so on, for people and totals.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// Whether the effect may repeat.
    #[serde(default)]
    pub effect: Effect,
    /// True if the step was inserted by a newer build before recorded steps.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub inserted: bool,
    /// Who settled a step in doubt: `verify`, or the person's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settled_by: Option<String>,
    /// The last failed attempts, where there were more than are journaled one by one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub last_attempts: Vec<AttemptDetail>,
    /// What it cost, in millionths of a US dollar, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost_micros: Option<u64>,
    /// Tokens in and out, for a model step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens: Option<[u64; 2]>,
}

/// What a [`Kind::Intent`] record adds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct IntentDetail {
    /// The step's time limit.
    pub timeout_ms: u64,
    /// The idempotency key handed to the effect.
    pub idempotency_key: String,
    /// What sort of step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// True if the step has a `verify` function.
    #[serde(default)]
    pub has_verify: bool,
}

/// What a [`Kind::Attempt`] record adds; the attempt's error stands in the record.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AttemptDetail {
    /// Which attempt failed, from 1.
    pub attempt: u32,
    /// When the next one is due.
    pub next_ms: Millis,
    /// The error in a line, where the attempt has no record of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// What a [`Kind::Open`] record asks for.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Open {
    /// Wake at a time. Resolves with `null`.
    Timer { at: Millis },
    /// The next event on a topic that this run has not seen. Resolves with [`EventValue`].
    Event(OpenEvent),
    /// Start a child run. Resolves with the child's output or error, unless it is detached.
    Child(OpenChild),
    /// Ask a person. Resolves with [`Answer`].
    Approval(OpenApproval),
}

/// A wait on a topic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OpenEvent {
    /// The topic's name.
    pub topic: String,
    /// True if only signals sent to this very run count; false for a topic of the namespace.
    #[serde(default)]
    pub signal: bool,
    /// Give up at this time: resolves with the error `timeout`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline_ms: Option<Millis>,
}

/// A child to start. Its run id derives from the parent's id and the record's key.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct OpenChild {
    /// The name of the workflow, agent or tool.
    pub workflow: String,
    /// Its input.
    pub input: Value,
    /// How it is to run.
    #[serde(default)]
    pub options: RunOptions,
    /// True if the parent does not wait for it and its cancellation does not reach it.
    #[serde(default)]
    pub detached: bool,
}

/// How a run is to run, from whoever starts it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RunOptions {
    /// The queue; by default the definition's, else `default`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue: Option<String>,
    /// The concurrency key within the queue.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrency_key: Option<String>,
    /// Higher goes first; 0 by default.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub priority: i32,
    /// Free labels, for filters.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// The run must have ended by this time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline_ms: Option<Millis>,
    /// How long the run may take, not counting the time spent waiting for a person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
    /// What must be near: see [`Placement`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub placement: Option<Placement>,
    /// The conversation it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<crate::SessionId>,
    /// Keeps the run to the build that starts it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub pin: bool,
    /// The W3C trace context of the caller.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde wants")]
fn is_zero(priority: &i32) -> bool {
    *priority == 0
}

/// What must be near a run: the worker that holds a key (a sandbox). Children inherit it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Placement {
    /// The key, for example a sandbox id.
    pub key: String,
    /// True if no other worker will do.
    #[serde(default)]
    pub require: bool,
}

/// A question to a person.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct OpenApproval {
    /// One line that says what is asked.
    pub title: String,
    /// What sort of question: `approval` (yes or no), `answer` or `settle` (a step in doubt).
    #[serde(default)]
    pub kind: ApprovalKind,
    /// The exact thing to be done: `{"command": …}`, `{"diff": …}`, `{"arguments": …}`, `{"text": …}`.
    #[serde(default)]
    pub subject: serde_json::Value,
    /// A hash of the exact thing, to which the answer is bound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject_hash: Option<String>,
    /// The form of the answer, as JSON Schema.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub form: Option<serde_json::Value>,
    /// Which answers make sense beside a plain yes: `run`, `session`, `always`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scopes: Vec<String>,
    /// Give up at this time: resolves as not approved, with the error `timeout`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline_ms: Option<Millis>,
    /// Who may answer; empty for anyone with the right.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub assignees: Vec<String>,
}

/// What sort of question an approval is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ApprovalKind {
    /// May this be done?
    #[default]
    Approval,
    /// A question with an answer of any form.
    Answer,
    /// Did this `once` step go through? The answer's `value` is its result.
    Settle,
}

/// The value with which an approval resolves.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Answer {
    /// The approval that was answered.
    pub approval: ApprovalId,
    /// Yes or no. For a question with a form: true if it was answered.
    pub approved: bool,
    /// What the person said besides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub feedback: Option<String>,
    /// The filled form, the changed arguments, or the settled result.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<serde_json::Value>,
    /// `once` (default), `run`, `session` or `always`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
    /// Who answered.
    pub by: String,
    /// When, by the server's clock.
    pub at: Millis,
}

/// The value with which a wait on a topic resolves.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct EventValue {
    /// The event's id.
    pub id: crate::EventId,
    /// Its place in its topic.
    pub position: u64,
    /// When it was published.
    pub at: Millis,
    /// What it carries.
    pub payload: Value,
}

/// What a [`Kind::Resolved`] record adds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ResolvedDetail {
    /// What resolved it: `timer`, `event`, `child`, `approval` or `deadline`.
    pub by: String,
    /// The event's place in its topic, where an event did: the run's cursor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<u64>,
    /// The topic, where an event did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topic: Option<String>,
}

/// What a [`Kind::Emit`] record adds; the payload is the record's value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EmitDetail {
    /// The topic.
    pub topic: String,
    /// The run it is sent to; absent for a topic of the namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<RunId>,
}

/// What a [`Kind::Marker`] record says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Marker {
    /// `patched(id)` was true here.
    Patched(String),
    /// `removed(name)`: recorded steps of this name are not asked for any more.
    Removed(String),
    /// A repeatable step was recorded and never asked for.
    Orphaned(String),
    /// A compensation or cleanup scope began.
    Cleanup,
}

/// What a [`Kind::Reset`] record adds: records from `from_seq` up to this one are superseded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ResetDetail {
    /// The first superseded sequence number.
    pub from_seq: u64,
    /// The step that is to run again.
    pub from_key: StepKey,
    /// True if only the records under `from_key` are superseded (a resume), not all that follow.
    #[serde(default)]
    pub only: bool,
    /// `once` steps that may run again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub again: Vec<StepKey>,
    /// Counts up when keyed effects are to get new idempotency keys; mixed into them.
    #[serde(default)]
    pub key_generation: u32,
    /// Who ordered it.
    pub by: String,
}

/// What a [`Kind::Verb`] record adds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct VerbDetail {
    /// `blocked`, `failed`, `resumed`, `settled`, `forked`, `moved`, `killed`.
    pub verb: String,
    /// Who ordered it; `engine` if nobody did.
    pub by: String,
    /// More, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

impl Record {
    /// The step's key.
    pub fn key(&self) -> &StepKey {
        &self.record.key
    }

    /// What it is about.
    pub fn kind(&self) -> Kind {
        self.record.kind
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_its_name() {
        for kind in Kind::ALL {
            assert_eq!(serde_json::to_string(&kind).unwrap(), format!("\"{}\"", kind.name()));
            assert_eq!(Kind::from_name(kind.name()), Some(kind));
        }
    }

    #[test]
    fn details_round_trip() {
        let child = Open::Child(OpenChild {
            workflow: "w".into(),
            input: Value::from_text(r#"{"b":1,"a":2}"#).unwrap(),
            options: RunOptions::default(),
            detached: false,
        });
        let record = NewRecord::new(1, Kind::Open, StepKey::run().child("c", 1), 0)
            .with_detail(&child)
            .unwrap();
        let text = serde_json::to_string(&record).unwrap();
        let back: NewRecord = serde_json::from_str(&text).unwrap();
        let Open::Child(opened) = back.detail().unwrap() else { panic!("another kind of wait") };
        assert_eq!(opened.input.text(), Some(r#"{"b":1,"a":2}"#));
    }
}
