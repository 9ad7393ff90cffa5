//! How rows change: commands as plain data, each a list of checks and a list of changes that happen
//! together or not at all.

use crate::row::{
    ApiKeyRow, ApprovalRow, AuditRow, EventRow, QueueRow, RecordRow, RunRow, RunStatus, SessionRow,
    SignalRow, StreamRow, TimerKind, TimerRow, WaiterRow,
};
use polos_protocol::{ApiKeyId, ApprovalId, Millis, Namespace, RunId, StepKey};
use std::sync::Arc;

/// What goes into one transaction.
#[derive(Debug, Clone)]
pub struct Batch {
    /// The incarnation of the owner: the store refuses the batch of any but its current one.
    pub owner: u64,
    /// The commands, in order. Later ones see what earlier ones changed.
    pub commands: Vec<Command>,
}

/// Checks and changes that happen together or not at all.
#[derive(Debug, Clone)]
pub struct Command {
    /// The namespace of everything in it.
    pub namespace: Namespace,
    /// What must hold.
    pub checks: Vec<Check>,
    /// What changes then, in order.
    pub changes: Vec<Change>,
}

/// What must hold before a command changes anything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Check {
    /// There is no run with this id.
    RunAbsent(RunId),
    /// The run is there and has this assignment.
    RunAssignment(RunId, u64),
    /// No run of this workflow was started under this key.
    StartKeyAbsent {
        /// The workflow's name.
        workflow: String,
        /// The key.
        key: String,
    },
    /// The approval is there and nobody has answered it.
    ApprovalPending(ApprovalId),
    /// No event on this topic was published under this key.
    EventKeyAbsent {
        /// The topic.
        topic: String,
        /// The key.
        key: String,
    },
    /// The signal at this place of the run's inbox is there and not consumed.
    SignalPending(RunId, u64),
}

/// A change of rows.
#[derive(Debug, Clone)]
pub enum Change {
    /// A new run; a start key is registered with it.
    InsertRun(Arc<RunRow>, Box<RunStatus>),
    /// Rewrites where a run stands.
    UpdateRun(RunId, Box<RunStatus>),
    /// Appends to a run's journal; one row each. No other row is touched, but that the run refers to
    /// the blobs to which the values refer; the same holds for a new run's input.
    AppendRecords(RunId, Vec<RecordRow>),
    /// Sets a timer; one with the same (run, kind, key) is replaced.
    PutTimer(TimerRow),
    /// Removes a timer, if it is there.
    DeleteTimer(RunId, TimerKind, StepKey),
    /// Removes all timers of a run.
    DeleteTimers(RunId),
    /// A run waits on a topic.
    PutWaiter(WaiterRow),
    /// It does so no more.
    DeleteWaiter(WaiterRow),
    /// Removes all waiters of a run.
    DeleteWaiters(RunId),
    /// Publishes an event.
    InsertEvent(EventRow),
    /// Puts a signal into a run's inbox.
    InsertSignal(SignalRow),
    /// Marks a signal as consumed (or, after a lost race, as not consumed).
    MarkSignal(RunId, u64, bool),
    /// A new question, or its new state and answer.
    PutApproval(Box<ApprovalRow>),
    /// A new session, or its new state.
    PutSession(Box<SessionRow>),
    /// A configured queue.
    PutQueue(QueueRow),
    /// A new API key.
    InsertApiKey(Box<ApiKeyRow>),
    /// Revokes an API key.
    RevokeApiKey(ApiKeyId, Millis),
    /// Appends to the audit log.
    InsertAudit(AuditRow),
    /// Keeps bytes under their hash; again the same is no error. The run is who refers to them.
    PutBlob {
        /// The SHA-256 of the bytes, in hex.
        hash: Arc<str>,
        /// The bytes: JSON text.
        text: Arc<str>,
        /// The run that refers to them.
        run: RunId,
    },
    /// Live output.
    AppendStream(Vec<StreamRow>),
    /// Remembers when a build was first seen, unless it was before.
    PutBuild(Arc<str>, Millis),
    /// Deletes an ended run with all that is its own: journal, inbox, stream, timers, approvals and
    /// blobs that nothing else refers to. Its start key stays until it is deleted by age.
    DeleteRun(RunId),
    /// Deletes start keys of runs that ended, or events, older than a time.
    DeleteStartKeysBefore(Millis),
    /// Deletes the namespace's events published before a time.
    DeleteEventsBefore(Millis),
}

/// What became of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It holds and is durable.
    Applied,
    /// The check with this index did not hold: nothing was changed.
    Refused(usize),
}
