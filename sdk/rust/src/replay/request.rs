//! What the code asks of the machine, and what effects report back.

#![expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]

use crate::replay::{Retry, ScopeId};
use polos_protocol::record::{AttemptDetail, Effect, EmitDetail, Open};
use polos_protocol::{Failure, Millis, StepKey, Value};
use std::collections::VecDeque;
use std::sync::Arc;
use std::task::Waker;

/// A request of the code, in the order in which they were made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RequestId(pub(crate) u64);

/// One beginning of an effect: an attempt or a verification.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EffectId(pub u64);

/// What the code asks for.
#[derive(Debug, Clone)]
pub struct Ask {
    /// The scope in which it asks.
    pub scope: ScopeId,
    /// The step's name; its key is made of it.
    pub name: Arc<str>,
    /// The name under which an earlier build recorded it.
    pub was: Option<Arc<str>>,
    /// True if the request is itself an item of `all`, with no code behind it that could go on.
    pub direct: bool,
    /// The thing asked for.
    pub what: What,
}

/// The thing asked for.
#[derive(Debug, Clone)]
pub enum What {
    /// An effect to be carried out and recorded.
    Step(Arc<StepSpec>),
    /// Something to wait for.
    Open(Box<OpenSpec>),
    /// An event to be published.
    Emit {
        /// Where to.
        detail: Box<EmitDetail>,
        /// What it carries.
        payload: Box<Value>,
    },
}

/// Something to wait for.
#[derive(Debug, Clone)]
pub struct OpenSpec {
    /// What is opened.
    pub open: Open,
    /// True if the code wants to hear that it is opened, and takes the outcome later or never.
    pub handle: bool,
    /// A hash of the arguments, for a child.
    pub fingerprint: Option<Arc<str>>,
    /// What to do if the recorded arguments were others.
    pub on_mismatch: FingerprintPolicy,
}

/// What to do when a recorded step is asked for with other arguments.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum FingerprintPolicy {
    /// The run blocks and shows both.
    #[default]
    Block,
    /// The recorded outcome is taken.
    Accept,
    /// The recorded outcome is taken, and a warning logged.
    Warn,
}

/// How a step is to be carried out.
#[derive(Debug, Clone)]
pub struct StepSpec {
    /// Whether the effect may repeat.
    pub effect: Effect,
    /// What sort of step, for people and totals.
    pub label: Option<Arc<str>>,
    /// When and how often to try again.
    pub retry: Retry,
    /// How long an attempt may take.
    pub timeout_ms: u64,
    /// A hash of the arguments, where they are compared on replay.
    pub fingerprint: Option<Arc<str>>,
    /// What to do if the recorded arguments were others.
    pub on_mismatch: FingerprintPolicy,
    /// True if a step in doubt can be settled by asking the world.
    pub has_verify: bool,
    /// True if the receiver acts at most once per idempotency key, however late a request comes: a
    /// doubt then need not outwait whoever may still be acting.
    pub is_fenced: bool,
    /// What a person sees when asked to settle the step.
    pub args: Option<Value>,
}

impl Default for StepSpec {
    fn default() -> Self {
        Self {
            effect: Effect::Repeatable,
            label: None,
            retry: Retry::default(),
            timeout_ms: polos_protocol::limits::STEP_TIMEOUT_MS,
            fingerprint: None,
            on_mismatch: FingerprintPolicy::Block,
            has_verify: false,
            is_fenced: false,
            args: None,
        }
    }
}

/// What the code is handed.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// It has a value.
    Value(Value),
    /// It failed.
    Failed(Box<Failure>),
    /// The run is being cancelled.
    Cancelled(Box<Failure>),
}

/// An effect to begin now.
#[derive(Debug, Clone)]
pub struct Begin {
    /// Names this beginning in the report.
    pub effect: EffectId,
    /// Whose effect it is.
    pub request: RequestId,
    /// The step.
    pub key: StepKey,
    /// What is to be begun.
    pub kind: EffectKind,
    /// Which attempt, from 1.
    pub attempt: u32,
    /// After this time it is to be stopped and reported as [`Fault::timed_out`].
    pub timeout_ms: u64,
    /// True if the effect must not be repeated blindly.
    pub once: bool,
}

/// What is to be begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EffectKind {
    /// The step itself.
    Attempt,
    /// The question whether an earlier attempt went through.
    Verify,
}

/// How an effect ended.
#[derive(Debug, Clone)]
pub enum EffectOutcome {
    /// It has a value.
    Value(Value),
    /// It failed.
    Failed(Fault),
    /// A verification has its answer.
    Verified(Verdict),
}

/// What a verification found.
#[derive(Debug, Clone)]
pub enum Verdict<T = Value> {
    /// It went through, with this result.
    Done(T),
    /// It did not, and may run again.
    NotDone,
    /// Nobody can say: a person is asked.
    Unknown,
}

/// A failed attempt.
#[derive(Debug, Clone)]
pub struct Fault {
    /// The error.
    pub failure: Failure,
    /// False if trying again cannot help.
    pub retryable: bool,
    /// How long the other side asked to wait.
    pub retry_after_ms: Option<u64>,
    /// True if the effect surely did not happen.
    pub not_done: bool,
}

impl Fault {
    /// An attempt that outlived its time limit.
    pub fn timed_out(timeout_ms: u64) -> Self {
        let message = format!("the attempt took longer than its limit of {timeout_ms} ms");
        let failure = Failure::new("timeout", message);
        Self { failure, retryable: true, retry_after_ms: None, not_done: false }
    }
}

/// How an effect ended, and when, and what it cost.
#[derive(Debug, Clone)]
pub struct EffectReport {
    /// How it ended.
    pub outcome: EffectOutcome,
    /// When it began.
    pub started_ms: Millis,
    /// When it ended.
    pub ended_ms: Millis,
    /// What it cost, in millionths of a US dollar.
    pub cost_micros: Option<u64>,
    /// Tokens in and out.
    pub tokens: Option<[u64; 2]>,
}

impl EffectReport {
    /// A report with nothing but the outcome and one time.
    pub fn new(outcome: EffectOutcome, at: Millis) -> Self {
        Self { outcome, started_ms: at, ended_ms: at, cost_micros: None, tokens: None }
    }
}

/// A request in the machine.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) key: StepKey,
    pub(crate) scope: ScopeId,
    pub(crate) name: Arc<str>,
    pub(crate) direct: bool,
    /// The scope of the code that awaits it: a handle's may be another than the one it was made in.
    pub(crate) awaited_in: ScopeId,
    pub(crate) what: What,
    pub(crate) stage: Stage,
    /// A newer build asked for it before recorded steps.
    pub(crate) inserted: bool,
    /// The highest sequence number handed to the code when it asked.
    pub(crate) after: u64,
    pub(crate) requested_ms: Millis,
    /// The attempt that runs or is to run next, from 1.
    pub(crate) attempt: u32,
    /// Failed attempts that have no record of their own.
    pub(crate) unjournaled: VecDeque<AttemptDetail>,
    /// What made a `once` step doubtful in this process.
    pub(crate) cause: Option<Box<Failure>>,
    /// The intent of a `once` step is durable.
    pub(crate) intended: bool,
    /// How many settle questions were opened.
    pub(crate) settles: u32,
    /// The opening of a handle has been handed to the code.
    pub(crate) opened: bool,
    pub(crate) outcome: Option<Outcome>,
    pub(crate) waker: Option<Waker>,
}

/// Where a request stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Nothing has been done for it in this process.
    Fresh,
    /// The next attempt begins at this time.
    Backoff(Millis),
    /// A record (intent or attempt) must be durable before the effect begins.
    Gate(Millis),
    /// The effect runs.
    Running(EffectId),
    /// Nobody knows how it ended; to be settled at this time.
    Doubt(Millis),
    /// The world is being asked.
    Verifying(EffectId),
    /// A person is being asked, under this key.
    Settling(StepKey),
    /// The outcome, or the opening, is on its way to the journal.
    Sent,
    /// It is opened, and has no outcome yet.
    Opened,
    /// The outcome is in the journal and waits for its turn.
    Recorded,
    /// The outcome has been handed to the code.
    Done,
}

impl Request {
    pub(crate) fn spec(&self) -> Option<&Arc<StepSpec>> {
        match &self.what {
            What::Step(spec) => Some(spec),
            What::Open(_) | What::Emit { .. } => None,
        }
    }

    pub(crate) fn is_once(&self) -> bool {
        self.spec().is_some_and(|spec| spec.effect == Effect::Once)
    }

    pub(crate) fn is_child(&self) -> bool {
        matches!(&self.what, What::Open(spec) if matches!(spec.open, Open::Child(_)))
    }

    pub(crate) fn is_handle(&self) -> bool {
        matches!(&self.what, What::Open(spec) if spec.handle)
    }

    /// True if the effect of a `once` step may have happened.
    pub(crate) fn may_have_acted(&self) -> bool {
        self.is_once()
            && matches!(
                self.stage,
                Stage::Running(_) | Stage::Doubt(_) | Stage::Verifying(_) | Stage::Settling(_)
            )
    }

    pub(crate) fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    /// One line for a person.
    pub(crate) fn describe(&self) -> String {
        let sort = match &self.what {
            What::Step(spec) if spec.effect == Effect::Once => "once step",
            What::Step(_) => "step",
            What::Open(open) => open_name(&open.open),
            What::Emit { .. } => "published event",
        };
        format!("{sort} `{}`", self.key)
    }
}

pub(crate) fn open_name(open: &Open) -> &'static str {
    match open {
        Open::Timer { .. } => "timer",
        Open::Event(_) => "event",
        Open::Child(_) => "child",
        Open::Approval(_) => "approval",
    }
}
