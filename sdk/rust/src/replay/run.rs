//! A run with its code: the machine, the body that asks it, and the effects of its steps. What the
//! worker and the simulation drive; like the machine it does no I/O and keeps no clock.

#![expect(clippy::large_enum_variant, reason = "made one at a time and moved at once")]

use crate::ctx::{Ctx, StepEffect, Token};
use crate::error::Error;
use crate::replay::hash::Map;
use crate::replay::request::{Begin, EffectId, EffectReport, RequestId};
use crate::replay::{Machine, Output, ScopeId, Settings};
use crate::stream::Streams;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use futures_util::task::AtomicWaker;
use polos_protocol::frame::{Append, Blob, FromWorker, Kept, RunRecords, RunRef, Start};
use polos_protocol::{Failure, Millis, RunId, StepKey, Value, Wait};
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::ThreadId;

/// The code of a workflow, as the worker calls it.
pub trait Workflow: Send + Sync {
    /// Makes the body of a run.
    fn call(&self, ctx: Ctx, input: Value) -> BoxFuture<'static, Result<Value, Error>>;
}

/// What a run is told.
#[derive(Debug, Clone)]
pub enum Input {
    /// Records that the server has.
    Append(Append),
    /// Records of this run are durable.
    Recorded {
        /// The highest one's number.
        n: u64,
        /// Its place.
        seq: u64,
        /// When they were committed.
        at: Millis,
    },
    /// A value that was asked for.
    Blob(Blob),
    /// The value of this hash is kept.
    Stored(Arc<str>),
    /// The connection stands again, and the run is still the worker's.
    Attached(Kept),
    /// The connection is gone.
    Detached,
    /// Nothing was heard for the lease.
    LeaseLost,
    /// The run is the worker's no more.
    Done,
    /// Runs are wanted back.
    Drain,
    /// Memory is wanted back: if the run waits, it parks at once.
    Cool,
    /// An effect has ended.
    Report {
        /// Whose.
        request: RequestId,
        /// Which beginning of it.
        effect: EffectId,
        /// How.
        report: EffectReport,
    },
    /// Time has passed.
    Tick,
}

/// What a run wants done.
pub enum RunOutput {
    /// Records to be sent; they may share a frame with other runs' records.
    Records(RunRecords),
    /// A frame to be sent after what came before.
    Frame(FromWorker),
    /// An effect to begin.
    Begin(BeginEffect),
    /// An effect to stop: drop its future, a report on it is ignored.
    Stop(EffectId),
    /// The run is the worker's no more: drop it and its effects.
    Forget,
}

impl std::fmt::Debug for RunOutput {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Records(records) => f.debug_tuple("Records").field(records).finish(),
            Self::Frame(frame) => f.debug_tuple("Frame").field(frame).finish(),
            Self::Begin(begin) => f.debug_tuple("Begin").field(&begin.begin).finish(),
            Self::Stop(effect) => f.debug_tuple("Stop").field(effect).finish(),
            Self::Forget => f.write_str("Forget"),
        }
    }
}

/// An effect to begin: poll the future to its end, within the time limit, and report it.
pub struct BeginEffect {
    /// What it is.
    pub begin: Begin,
    /// The effect. It never panics: a panic of the user's code is its outcome.
    pub future: BoxFuture<'static, EffectReport>,
    /// Tells the effect's own tasks to stop, when the effect is dropped before its end.
    pub token: Token,
}

impl std::fmt::Debug for BeginEffect {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.begin.fmt(f)
    }
}

/// What the body and its futures share with the run.
pub(crate) struct Shared {
    core: Mutex<Core>,
    pub(crate) streams: Arc<dyn Streams>,
}

pub(crate) struct Core {
    pub(crate) machine: Machine,
    pub(crate) effects: Map<RequestId, Arc<dyn StepEffect>>,
    /// The scope of the code that is being polled.
    pub(crate) scope: ScopeId,
    /// The thread that polls the body, while it does.
    polling: Option<ThreadId>,
    /// More than 0 while a race drops its losers.
    pub(crate) losing: u32,
    /// The body is being dropped whole: nothing that it drops matters.
    closed: bool,
    /// The server's time, as last passed in.
    pub(crate) now: Millis,
}

impl Shared {
    pub(crate) fn core(&self) -> MutexGuard<'_, Core> {
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Core {
    /// True if the caller is code that the run is polling now.
    pub(crate) fn is_in_body(&self) -> bool {
        self.polling.is_some_and(|thread| thread == std::thread::current().id())
    }

    /// A future of the code was dropped before its end.
    pub(crate) fn dropped(&mut self, id: RequestId) {
        self.effects.remove(&id);
        // What a panic drops on its way out is not misuse: the panic itself is the run's error.
        if self.closed || !self.machine.is_running() || std::thread::panicking() {
            return;
        }
        if self.losing > 0 {
            self.machine.lose(id);
        } else if self.machine.key(id).is_some() {
            let key = self.machine.key(id).map(StepKey::to_string).unwrap_or_default();
            self.machine.block_misuse(
                format!("`{key}` was begun and then dropped before its end"),
                "race steps with `ctx.race`, which records the loser; `tokio::select!` and \
                 `tokio::time::timeout` cannot be replayed",
            );
        }
    }

    pub(crate) fn block_outside(&mut self) {
        self.machine.block_misuse(
            "the run's context was used outside its own body".to_owned(),
            "use `ctx` neither inside a step nor in a spawned task; branches belong into `ctx.all`, \
             `ctx.race` or `ctx.map`",
        );
    }
}

/// Wakes the body: a flag, and the task that drives the run if it is not at it already.
#[derive(Default)]
struct RootWaker {
    awake: AtomicBool,
    turning: AtomicBool,
    driver: AtomicWaker,
}

impl Wake for RootWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.awake.store(true, Ordering::Release);
        if !self.turning.load(Ordering::Acquire) {
            self.driver.wake();
        }
    }
}

/// One run in this process.
pub struct Run {
    shared: Arc<Shared>,
    workflow: Arc<dyn Workflow>,
    body: Option<BoxFuture<'static, Result<Value, Error>>>,
    root: Arc<RootWaker>,
    waker: Waker,
}

impl std::fmt::Debug for Run {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Run")
            .field("run", &self.shared.core().machine.run())
            .finish_non_exhaustive()
    }
}

impl Run {
    /// Takes a run that the server has given, with the code that is to run.
    pub fn new(
        start: Box<Start>,
        workflow: Arc<dyn Workflow>,
        settings: Settings,
        streams: Arc<dyn Streams>,
        now: Millis,
    ) -> Self {
        let core = Core {
            machine: Machine::new(start, settings),
            effects: Map::default(),
            scope: ScopeId::ROOT,
            polling: None,
            losing: 0,
            closed: false,
            now,
        };
        let root = Arc::new(RootWaker::default());
        let mut run = Self {
            shared: Arc::new(Shared { core: Mutex::new(core), streams }),
            workflow,
            body: None,
            waker: Waker::from(root.clone()),
            root,
        };
        run.turn(now);
        run
    }

    /// The run's id.
    pub fn id(&self) -> RunId {
        self.shared.core().machine.run()
    }

    /// The run and its assignment.
    pub fn run_ref(&self) -> RunRef {
        self.shared.core().machine.run_ref()
    }

    /// Up to where the journal is known.
    pub fn seq(&self) -> u64 {
        self.shared.core().machine.seq()
    }

    /// What the run waits for, if nothing runs here and nothing will before the server sends
    /// something.
    pub fn waits_for(&self) -> Option<Wait> {
        self.shared.core().machine.waits_for().cloned()
    }

    /// How many bytes of values its code was handed, the input included: about what it may keep.
    pub fn handed_bytes(&self) -> u64 {
        self.shared.core().machine.handed_bytes
    }

    /// True once it can be dropped.
    pub fn is_gone(&self) -> bool {
        self.shared.core().machine.is_gone()
    }

    /// True while effects run for it.
    pub fn has_effects(&self) -> bool {
        self.shared.core().machine.has_effects()
    }

    /// When a [`Input::Tick`] is wanted.
    pub fn timer(&self) -> Option<Millis> {
        self.shared.core().machine.timer()
    }

    /// Has `waker` woken when something foreign wakes the body between two turns; the driver then
    /// sends a tick, and the run says that this is misuse.
    pub fn register(&self, waker: &Waker) {
        self.root.driver.register(waker);
    }

    /// True if something foreign has woken the body since its last turn: a tick makes the run say
    /// so.
    pub fn is_woken(&self) -> bool {
        self.body.is_some() && self.root.awake.load(Ordering::Acquire)
    }

    /// Takes an input and lets the code run as far as it goes.
    pub fn handle(&mut self, input: Input, now: Millis) {
        self.note(input, now);
        self.turn(now);
    }

    /// Takes an input without letting the code run yet: for several at once, with a
    /// [`Self::turn`] at the end.
    pub fn note(&mut self, input: Input, now: Millis) {
        self.check_woken();
        let mut core = self.shared.core();
        core.now = now;
        let machine = &mut core.machine;
        match input {
            Input::Append(append) => machine.appended(append, now),
            Input::Recorded { n, seq, at } => machine.recorded(n, seq, at, now),
            Input::Blob(blob) => machine.blob(&blob),
            Input::Stored(hash) => machine.stored(&hash),
            Input::Attached(kept) => machine.attached(&kept, now),
            Input::Detached => machine.detached(),
            Input::LeaseLost => machine.lease_lost(now),
            Input::Done => machine.forgotten(),
            Input::Drain => machine.drain(now),
            Input::Cool => machine.cool(now),
            Input::Report { request, effect, report } => {
                machine.report(request, effect, report, now);
            }
            Input::Tick => machine.tick(now),
        }
    }

    /// The next thing to be done outside.
    pub fn next_output(&mut self) -> Option<RunOutput> {
        loop {
            let mut core = self.shared.core();
            return Some(match core.machine.next_output()? {
                Output::Records(records) => RunOutput::Records(records),
                Output::Frame(frame) => RunOutput::Frame(frame),
                Output::Stop(effect) => RunOutput::Stop(effect),
                Output::Forget => RunOutput::Forget,
                Output::Begin(begin) => {
                    let Some(effect) = core.effects.get(&begin.request).cloned() else { continue };
                    let start = core.machine.start();
                    let info = crate::ctx::StepInfo {
                        run: core.machine.run_ref(),
                        key: begin.key.clone(),
                        attempt: begin.attempt,
                        key_generation: start.key_generation,
                    };
                    drop(core);
                    let token = Token::default();
                    let future = effect.begin(
                        begin.kind,
                        crate::ctx::StepContext::new(
                            info,
                            token.clone(),
                            self.shared.streams.clone(),
                        ),
                    );
                    RunOutput::Begin(BeginEffect { begin, future, token })
                }
            });
        }
    }

    /// True once the whole journal is here.
    pub(crate) fn is_loaded(&self) -> bool {
        self.shared.core().machine.is_loaded()
    }

    /// The next thing to be done outside, with no effect made of it: not even the closure of a step
    /// is called.
    pub(crate) fn next_unbegun(&mut self) -> Option<Output> {
        self.shared.core().machine.next_output()
    }

    /// Recorded requests that the code has not made.
    pub(crate) fn unasked(&self) -> Vec<StepKey> {
        self.shared.core().machine.unasked()
    }

    /// Lets the code run as far as it goes: hands it what there is, one at a time, and begins what
    /// it asked for.
    pub fn turn(&mut self, now: Millis) {
        self.root.turning.store(true, Ordering::Release);
        self.shared.core().now = now;
        while self.can_turn() {
            if self.root.awake.swap(false, Ordering::AcqRel) {
                if self.poll_body() {
                    break;
                }
                continue;
            }
            if self.shared.core().machine.hand_next(now) {
                continue;
            }
            if !self.rest(now) {
                break;
            }
        }
        self.drop_ended_body();
        self.root.turning.store(false, Ordering::Release);
    }

    /// True if there is a body that may be polled; makes it when the time has come.
    fn can_turn(&mut self) -> bool {
        let mut core = self.shared.core();
        if !core.machine.is_running() {
            return false;
        }
        if self.body.is_some() {
            return true;
        }
        let Some(input) = core.machine.input() else { return false };
        drop(core);
        let ctx = Ctx::new(self.shared.clone());
        let workflow = self.workflow.clone();
        // The call is part of the body, so that a panic in it is caught like any other.
        self.body = Some(Box::pin(async move { workflow.call(ctx, input).await }));
        self.root.awake.store(true, Ordering::Release);
        true
    }

    /// Polls the body once. True if it has ended.
    fn poll_body(&mut self) -> bool {
        let Some(body) = self.body.as_mut() else { return true };
        {
            let mut core = self.shared.core();
            core.polling = Some(std::thread::current().id());
            core.scope = ScopeId::ROOT;
        }
        let mut context = Context::from_waker(&self.waker);
        let polled =
            std::panic::catch_unwind(AssertUnwindSafe(|| body.as_mut().poll(&mut context)));
        let mut core = self.shared.core();
        core.polling = None;
        match polled {
            Ok(Poll::Pending) => return false,
            Ok(Poll::Ready(Ok(value))) => core.machine.complete(value),
            Ok(Poll::Ready(Err(error))) => {
                let (failure, step) = error.into_parts();
                core.machine.fail(failure, step);
            }
            Err(panic) => core.machine.fail(panic_failure(&*panic), None),
        }
        true
    }

    /// The body is idle and nothing is there to be handed. True if something new came of it.
    fn rest(&mut self, now: Millis) -> bool {
        let mut core = self.shared.core();
        core.machine.settle(now);
        if core.machine.is_running() && !core.machine.is_awaited() {
            core.machine.block_misuse(
                "the workflow's body awaits something that its context does not know".to_owned(),
                "await I/O, timers and channels inside a `ctx.step`, and pauses with `ctx.sleep`: \
                 what the body itself awaits must be replayable",
            );
        }
        false
    }

    /// Between two turns only the context wakes the body; anything else cannot be replayed.
    fn check_woken(&mut self) {
        if self.body.is_some() && self.root.awake.swap(false, Ordering::AcqRel) {
            let mut core = self.shared.core();
            core.machine.block_misuse(
                "the workflow's body was woken by something that its context does not know"
                    .to_owned(),
                "await I/O, timers and channels inside a `ctx.step`, and pauses with `ctx.sleep`",
            );
        }
    }

    fn drop_ended_body(&mut self) {
        let running = {
            let mut core = self.shared.core();
            let running = core.machine.is_running() || !core.machine.is_loaded();
            core.closed |= !running;
            running
        };
        if !running {
            self.body = None;
        }
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        self.shared.core().closed = true;
        self.body = None;
    }
}

/// What is recorded of a panic.
pub(crate) fn panic_failure(panic: &(dyn std::any::Any + Send)) -> Failure {
    let said = panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a panic without a message".to_owned());
    Failure::new("panic", said)
}

/// Runs a future; a panic becomes its failure.
pub(crate) async fn caught<T>(future: impl Future<Output = T>) -> Result<T, Failure> {
    AssertUnwindSafe(future).catch_unwind().await.map_err(|panic| panic_failure(&*panic))
}
