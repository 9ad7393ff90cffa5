//! Steps: an effect, carried out at most once per record, with retries and a time limit.

use crate::ctx::Ctx;
use crate::ctx::leaf::{Pending, Prepared, Wanted};
use crate::error::StepError;
use crate::json;
use crate::replay::{
    EffectKind, EffectOutcome, EffectReport, Fault, FingerprintPolicy, Retry, StepSpec, Verdict,
    What, fingerprint, idempotency_key,
};
use crate::stream::Streams;
use futures_util::future::BoxFuture;
use polos_protocol::frame::{RunRef, StreamItem};
use polos_protocol::record::Effect;
use polos_protocol::{Failure, RunId, StepKey, Value};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::marker::PhantomData;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// An effect as the run begins it.
pub(crate) trait StepEffect: Send + Sync {
    fn begin(&self, kind: EffectKind, step: StepContext) -> BoxFuture<'static, EffectReport>;
}

type Attempt =
    Arc<dyn Fn(StepContext) -> BoxFuture<'static, Result<Value, StepError>> + Send + Sync>;
type Verification =
    Arc<dyn Fn(StepContext) -> BoxFuture<'static, Result<Verdict, StepError>> + Send + Sync>;

struct Closures {
    attempt: Attempt,
    verify: Option<Verification>,
    args: Option<Value>,
}

impl StepEffect for Closures {
    fn begin(&self, kind: EffectKind, mut step: StepContext) -> BoxFuture<'static, EffectReport> {
        step.args.clone_from(&self.args);
        let usage = step.usage.clone();
        match (kind, self.verify.clone()) {
            (EffectKind::Verify, Some(verify)) => Box::pin(async move {
                let outcome = crate::replay::caught(async move { verify(step).await }).await;
                let verdict = outcome.ok().and_then(Result::ok).unwrap_or(Verdict::Unknown);
                EffectReport::new(EffectOutcome::Verified(verdict), 0)
            }),
            (EffectKind::Verify, None) => {
                Box::pin(async { EffectReport::new(EffectOutcome::Verified(Verdict::Unknown), 0) })
            }
            (EffectKind::Attempt, _) => {
                let attempt = self.attempt.clone();
                Box::pin(async move {
                    let outcome = crate::replay::caught(async move { attempt(step).await }).await;
                    let usage = *usage.lock().unwrap_or_else(PoisonError::into_inner);
                    let mut report = EffectReport::new(attempted(outcome), 0);
                    report.cost_micros = usage.cost_micros;
                    report.tokens = usage.tokens;
                    report
                })
            }
        }
    }
}

fn attempted(outcome: Result<Result<Value, StepError>, Failure>) -> EffectOutcome {
    let error = match outcome {
        Ok(Ok(value)) => return EffectOutcome::Value(value),
        Ok(Err(error)) => error,
        Err(panic) => StepError::from_failure(panic),
    };
    EffectOutcome::Failed(Fault {
        failure: *error.failure,
        retryable: error.retryable,
        retry_after_ms: error.retry_after_ms,
        not_done: error.not_done,
    })
}

/// Tells an effect's own tasks that it has been stopped.
#[derive(Clone, Default)]
pub struct Token(Arc<Stop>);

#[derive(Default)]
struct Stop {
    stopped: AtomicBool,
    wakers: Mutex<Vec<std::task::Waker>>,
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Token").field(&self.is_stopped()).finish()
    }
}

impl Token {
    /// Says that the effect is stopped.
    pub fn stop(&self) {
        self.0.stopped.store(true, Ordering::SeqCst);
        let wakers =
            std::mem::take(&mut *self.0.wakers.lock().unwrap_or_else(PoisonError::into_inner));
        for waker in wakers {
            waker.wake();
        }
    }

    /// True once the effect is stopped.
    pub fn is_stopped(&self) -> bool {
        self.0.stopped.load(Ordering::SeqCst)
    }

    /// Ready once the effect is stopped: for tasks and processes that the effect has started.
    pub async fn stopped(&self) {
        std::future::poll_fn(|context| {
            let mut wakers = self.0.wakers.lock().unwrap_or_else(PoisonError::into_inner);
            if self.is_stopped() {
                return std::task::Poll::Ready(());
            }
            if !wakers.iter().any(|waker| waker.will_wake(context.waker())) {
                wakers.push(context.waker().clone());
            }
            std::task::Poll::Pending
        })
        .await;
    }
}

#[derive(Debug, Clone, Copy, Default)]
struct Usage {
    cost_micros: Option<u64>,
    tokens: Option<[u64; 2]>,
}

/// Which attempt of which step.
#[derive(Debug, Clone)]
pub(crate) struct StepInfo {
    pub(crate) run: RunRef,
    pub(crate) key: StepKey,
    pub(crate) attempt: u32,
    pub(crate) key_generation: u32,
}

/// What a step's own code may know and say. Cheap to clone.
#[derive(Clone)]
pub struct StepContext {
    info: Arc<StepInfo>,
    token: Token,
    streams: Arc<dyn Streams>,
    usage: Arc<Mutex<Usage>>,
    args: Option<Value>,
}

impl std::fmt::Debug for StepContext {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.info.fmt(f)
    }
}

impl StepContext {
    pub(crate) fn new(info: StepInfo, token: Token, streams: Arc<dyn Streams>) -> Self {
        Self { info: Arc::new(info), token, streams, usage: Arc::default(), args: None }
    }

    /// The key to hand to the other side (an `Idempotency-Key` header): the same over all attempts
    /// of this step, on any machine.
    pub fn idempotency_key(&self) -> String {
        idempotency_key(self.info.run.run, &self.info.key, self.info.key_generation)
    }

    /// Which attempt this is, from 1.
    pub fn attempt(&self) -> u32 {
        self.info.attempt
    }

    /// The step's key.
    pub fn key(&self) -> &StepKey {
        &self.info.key
    }

    /// The run.
    pub fn run(&self) -> RunId {
        self.info.run.run
    }

    /// Tells tasks and processes that the step has started when it is stopped. The step's own
    /// future is simply dropped.
    pub fn token(&self) -> Token {
        self.token.clone()
    }

    /// The arguments given with [`Step::args`].
    pub fn args<A: DeserializeOwned>(&self) -> Result<A, StepError> {
        Ok(self.args.clone().unwrap_or_default().parse()?)
    }

    /// Sends a piece of live output: `text`, `stdout`, `progress` and so on.
    pub fn stream<T: Serialize + ?Sized>(&self, kind: &str, data: &T) {
        let Ok(data) = json::to_value(data) else { return };
        self.streams.send(
            self.info.run,
            StreamItem {
                key: self.info.key.clone(),
                attempt: self.info.attempt,
                kind: kind.into(),
                data,
            },
        );
    }

    /// Records what the step cost, in millionths of a US dollar.
    pub fn cost_micros(&self, micros: u64) {
        self.usage.lock().unwrap_or_else(PoisonError::into_inner).cost_micros = Some(micros);
    }

    /// Records the tokens that went in and came out.
    pub fn tokens(&self, input: u64, output: u64) {
        self.usage.lock().unwrap_or_else(PoisonError::into_inner).tokens = Some([input, output]);
    }
}

/// A step to be awaited: see [`Ctx::step`].
#[must_use = "a step does nothing unless you `.await` it"]
pub struct Step<T> {
    pub(crate) ctx: Ctx,
    name: Arc<str>,
    was: Option<Arc<str>>,
    spec: StepSpec,
    closures: Closures,
    value: PhantomData<fn() -> T>,
}

impl<T> std::fmt::Debug for Step<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Step").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Ctx {
    /// A step: the closure is run, its value recorded, and on replay the recorded value returned
    /// without running it again. The value must be durable before the code goes on.
    ///
    /// ```no_run
    /// # use polos_sdk::{Ctx, Result};
    /// # async fn body(ctx: Ctx) -> Result<()> {
    /// let pages: u32 = ctx.step("count pages", || async { Ok("42".parse()?) }).await?;
    /// # let _ = pages; Ok(()) }
    /// ```
    pub fn step<T, F, Fut>(&self, name: impl AsRef<str>, run: F) -> Step<T>
    where
        T: Serialize + DeserializeOwned + 'static,
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<T, StepError>> + Send + 'static,
    {
        self.step_with(name, move |_| run())
    }

    /// A step whose closure is given a [`StepContext`]: idempotency key, attempt, live output.
    ///
    /// ```no_run
    /// # use polos_sdk::{Ctx, Result, Verdict};
    /// # async fn charge(_: String) -> std::io::Result<String> { Ok(String::new()) }
    /// # async fn look_up(_: String) -> std::io::Result<Option<String>> { Ok(None) }
    /// # async fn body(ctx: Ctx) -> Result<()> {
    /// let receipt: String = ctx
    ///     .step_with("charge", |step| async move { Ok(charge(step.idempotency_key()).await?) })
    ///     .once()
    ///     .verify(|step| async move {
    ///         Ok(match look_up(step.idempotency_key()).await? {
    ///             Some(receipt) => Verdict::Done(receipt),
    ///             None => Verdict::NotDone,
    ///         })
    ///     })
    ///     .await?;
    /// # let _ = receipt; Ok(()) }
    /// ```
    pub fn step_with<T, F, Fut>(&self, name: impl AsRef<str>, run: F) -> Step<T>
    where
        T: Serialize + DeserializeOwned + 'static,
        F: Fn(StepContext) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<T, StepError>> + Send + 'static,
    {
        let attempt: Attempt = Arc::new(move |step| {
            let running = run(step);
            Box::pin(async move {
                let value = running.await?;
                json::to_value(&value).map_err(StepError::from_failure)
            })
        });
        let closures = Closures { attempt, verify: None, args: None };
        Step {
            ctx: self.clone(),
            name: name.as_ref().into(),
            was: None,
            spec: StepSpec::default(),
            closures,
            value: PhantomData,
        }
    }
}

impl<T: Serialize + DeserializeOwned + 'static> Step<T> {
    /// The effect is never blindly repeated: after a crash, a time-out or an error other than
    /// [`StepError::not_done`], the step is in doubt until `verify` or a person settles it.
    pub fn once(mut self) -> Self {
        self.spec.effect = Effect::Once;
        self
    }

    /// How a step in doubt is settled without a person: asks the world whether the effect of this
    /// idempotency key happened. An error counts as [`Verdict::Unknown`].
    pub fn verify<F, Fut>(mut self, verify: F) -> Self
    where
        F: Fn(StepContext) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Verdict<T>, StepError>> + Send + 'static,
    {
        self.spec.has_verify = true;
        self.closures.verify = Some(Arc::new(move |step| {
            let asking = verify(step);
            Box::pin(async move {
                Ok(match asking.await? {
                    Verdict::Done(value) => {
                        Verdict::Done(json::to_value(&value).map_err(StepError::from_failure)?)
                    }
                    Verdict::NotDone => Verdict::NotDone,
                    Verdict::Unknown => Verdict::Unknown,
                })
            })
        }));
        self
    }

    /// Says that the receiver acts at most once per idempotency key, however late a request comes.
    /// A step in doubt is then verified at once; otherwise only when its worker's lease and the
    /// step's time limit have ended, since until then the effect may still be on its way.
    pub fn fenced(mut self) -> Self {
        self.spec.is_fenced = true;
        self
    }

    /// How often a failed attempt is made again.
    pub fn retry(mut self, retry: Retry) -> Self {
        self.spec.retry = retry;
        self
    }

    /// How long an attempt may take; ten minutes unless said.
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.spec.timeout_ms = millis(limit);
        self
    }

    /// The arguments: their fingerprint is recorded and compared on replay, and they are shown to
    /// `verify` and to a person who settles the step.
    pub fn args<A: Serialize + ?Sized>(mut self, args: &A) -> Self {
        self.spec.fingerprint = fingerprint(args).ok();
        self.closures.args = json::to_value(args).ok();
        self.spec.args.clone_from(&self.closures.args);
        self
    }

    /// What to do if the recorded arguments were others; by default the run blocks.
    pub fn on_mismatch(mut self, policy: FingerprintPolicy) -> Self {
        self.spec.on_mismatch = policy;
        self
    }

    /// The name under which an earlier build recorded this step.
    pub fn was(mut self, old: impl AsRef<str>) -> Self {
        self.was = Some(old.as_ref().into());
        self
    }

    /// What sort of step it is, for people and totals: `model`, `tool`, `exec`.
    pub fn label(mut self, label: impl AsRef<str>) -> Self {
        self.spec.label = Some(label.as_ref().into());
        self
    }

    pub(crate) fn into_pending(self, direct: bool) -> Pending<T> {
        let mut prepared = Prepared::new(self.name, Wanted::Ready(What::Step(Arc::new(self.spec))));
        prepared.was = self.was;
        prepared.direct = direct;
        prepared.effect = Some(Arc::new(self.closures));
        Pending::new(self.ctx.shared, prepared)
    }
}

impl<T: Serialize + DeserializeOwned + 'static> IntoFuture for Step<T> {
    type Output = crate::Result<T>;
    type IntoFuture = Pending<T>;

    fn into_future(self) -> Pending<T> {
        self.into_pending(false)
    }
}

pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
