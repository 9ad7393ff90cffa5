//! Waiting: for time, events, signals and people; and publishing events.

use crate::ctx::Ctx;
use crate::ctx::leaf::{Pending, Prepared, Wanted};
use crate::ctx::step::millis;
use crate::error::{Error, Result};
use crate::json;
use crate::replay::What;
use polos_protocol::record::{
    Answer, ApprovalKind, EmitDetail, EventValue, OpenApproval, OpenEvent,
};
use polos_protocol::{Failure, Millis, RunId, Value, limits};
use serde::Serialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

/// A pause to be awaited: see [`Ctx::sleep`].
#[derive(Debug)]
#[must_use = "a pause does nothing unless you `.await` it"]
pub struct Sleep {
    ctx: Ctx,
    name: Arc<str>,
    wanted: Wanted,
}

/// A wait for an event: see [`Ctx::event`].
#[must_use = "a wait does nothing unless you `.await` it"]
pub struct EventWait<T> {
    ctx: Ctx,
    name: Arc<str>,
    event: OpenEvent,
    timeout_ms: Option<u64>,
    payload: PhantomData<fn() -> T>,
}

impl<T> std::fmt::Debug for EventWait<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.event.fmt(f)
    }
}

/// A question to a person, to be awaited: see [`Ctx::ask`].
#[derive(Debug)]
#[must_use = "a question does nothing unless you `.await` it"]
pub struct Ask {
    ctx: Ctx,
    name: Arc<str>,
    question: OpenApproval,
    timeout_ms: Option<u64>,
}

/// An event to be published: see [`Ctx::publish`].
#[derive(Debug)]
#[must_use = "nothing is published unless you `.await` it"]
pub struct Publish {
    ctx: Ctx,
    name: Arc<str>,
    detail: EmitDetail,
    payload: Result<Value, Failure>,
}

/// An event that came.
#[derive(Debug, Clone)]
pub struct Event<T> {
    /// Its id.
    pub id: polos_protocol::EventId,
    /// Its place in its topic.
    pub position: u64,
    /// When it was published.
    pub at: Millis,
    /// What it carries.
    pub payload: T,
}

impl Ctx {
    /// Pauses durably: a long pause holds no memory, no thread and no worker.
    pub fn sleep(&self, duration: Duration) -> Sleep {
        Sleep { ctx: self.clone(), name: "sleep".into(), wanted: Wanted::Sleep(millis(duration)) }
    }

    /// Pauses until a time, in milliseconds since the epoch by the server's clock.
    pub fn sleep_until(&self, at: Millis) -> Sleep {
        let open = polos_protocol::record::Open::Timer { at };
        let wanted = Wanted::Ready(What::Open(Box::new(crate::replay::OpenSpec {
            open,
            handle: false,
            fingerprint: None,
            on_mismatch: crate::replay::FingerprintPolicy::Block,
        })));
        Sleep { ctx: self.clone(), name: "sleep".into(), wanted }
    }

    /// The next event on a topic of the namespace that this run has not seen, from its creation on.
    pub fn event<T: DeserializeOwned>(&self, topic: impl Into<String>) -> EventWait<T> {
        self.wait_for(topic.into(), false)
    }

    /// The next signal of this name that is sent to this very run.
    pub fn signal<T: DeserializeOwned>(&self, name: impl Into<String>) -> EventWait<T> {
        self.wait_for(name.into(), true)
    }

    fn wait_for<T>(&self, topic: String, signal: bool) -> EventWait<T> {
        EventWait {
            ctx: self.clone(),
            name: topic.as_str().into(),
            event: OpenEvent { topic, signal, deadline_ms: None },
            timeout_ms: None,
            payload: PhantomData,
        }
    }

    /// Asks a person and waits for the answer.
    ///
    /// ```no_run
    /// # use polos_sdk::{Approval, Ctx, Result};
    /// # async fn body(ctx: Ctx) -> Result<()> {
    /// let question = Approval { title: "Deploy to production?".into(), ..Approval::default() };
    /// let answer = ctx.ask("deploy", question).await?;
    /// if !answer.approved {
    ///     println!("no: {}", answer.feedback.unwrap_or_default());
    /// }
    /// # Ok(()) }
    /// ```
    pub fn ask(&self, name: impl AsRef<str>, question: OpenApproval) -> Ask {
        Ask { ctx: self.clone(), name: name.as_ref().into(), question, timeout_ms: None }
    }

    /// Publishes an event on a topic of the namespace, once.
    pub fn publish(
        &self,
        topic: impl Into<String>,
        payload: &(impl Serialize + ?Sized),
    ) -> Publish {
        let topic = topic.into();
        Publish {
            ctx: self.clone(),
            name: topic.as_str().into(),
            detail: EmitDetail { topic, run: None },
            payload: json::to_value(payload),
        }
    }
}

impl Sleep {
    /// The step's name, where several pauses stand open at once.
    pub fn name(mut self, name: impl AsRef<str>) -> Self {
        self.name = name.as_ref().into();
        self
    }

    pub(crate) fn into_unit(self, direct: bool) -> Unit {
        let mut prepared = Prepared::new(self.name, self.wanted);
        prepared.direct = direct;
        Unit(Ok(Pending::new(self.ctx.shared, prepared)))
    }
}

impl<T: DeserializeOwned> EventWait<T> {
    /// The step's name.
    pub fn name(mut self, name: impl AsRef<str>) -> Self {
        self.name = name.as_ref().into();
        self
    }

    /// Gives up after this time with the error `timeout`.
    pub fn timeout(mut self, wait: Duration) -> Self {
        self.timeout_ms = Some(millis(wait));
        self
    }

    pub(crate) fn into_arriving(self, direct: bool) -> Arriving<T> {
        let mut prepared = Prepared::new(self.name, Wanted::Event(self.event, self.timeout_ms));
        prepared.direct = direct;
        Arriving { pending: Pending::new(self.ctx.shared, prepared), payload: PhantomData }
    }
}

impl Ask {
    /// Marks it as a question with an answer of any form instead of a yes or no.
    pub fn for_answer(mut self) -> Self {
        self.question.kind = ApprovalKind::Answer;
        self
    }

    /// Gives up after this time with the error `timeout`.
    pub fn timeout(mut self, wait: Duration) -> Self {
        self.timeout_ms = Some(millis(wait));
        self
    }

    pub(crate) fn into_pending(self, direct: bool) -> Pending<Answer> {
        let wanted = Wanted::Approval(Box::new(self.question), self.timeout_ms);
        let mut prepared = Prepared::new(self.name, wanted);
        prepared.direct = direct;
        Pending::new(self.ctx.shared, prepared)
    }
}

impl Publish {
    /// Sends it to one run only, as a signal.
    pub fn to(mut self, run: RunId) -> Self {
        self.detail.run = Some(run);
        self
    }

    /// The step's name.
    pub fn name(mut self, name: impl AsRef<str>) -> Self {
        self.name = name.as_ref().into();
        self
    }

    pub(crate) fn into_unit(self, direct: bool) -> Unit {
        let (shared, name, detail) = (self.ctx.shared, self.name, self.detail);
        Unit(self.payload.and_then(carried).map_err(Error::from).map(|payload| {
            let wanted =
                Wanted::Ready(What::Emit { detail: Box::new(detail), payload: Box::new(payload) });
            let mut prepared = Prepared::new(name, wanted);
            prepared.direct = direct;
            Pending::new(shared, prepared)
        }))
    }
}

/// An event stands on its own: what is kept apart for a run is not at hand for who takes it.
fn carried(payload: Value) -> Result<Value, Failure> {
    if payload.size() <= limits::VALUE_INLINE_BYTES_MAX as u64 {
        return Ok(payload);
    }
    let message = format!(
        "an event carries at most {} bytes, not {}; keep the value elsewhere and publish where",
        limits::VALUE_INLINE_BYTES_MAX,
        payload.size()
    );
    Err(Failure::new("value_too_large", message).terminal())
}

/// The future of what has no value.
#[derive(Debug)]
#[must_use = "futures do nothing unless you `.await` them"]
pub struct Unit(Result<Pending<IgnoredAny>>);

impl Future for Unit {
    type Output = Result<()>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.0 {
            Ok(pending) => Pin::new(pending).poll(context).map_ok(|_| ()),
            Err(error) => Poll::Ready(Err(error.clone())),
        }
    }
}

/// The future of an [`EventWait`].
#[must_use = "futures do nothing unless you `.await` them"]
pub struct Arriving<T> {
    pending: Pending<EventValue>,
    payload: PhantomData<fn() -> T>,
}

impl<T> std::fmt::Debug for Arriving<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Arriving")
    }
}

impl<T: DeserializeOwned> Future for Arriving<T> {
    type Output = Result<Event<T>>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.pending).poll(context).map(|arrived| {
            let event = arrived?;
            let payload = event.payload.parse().map_err(|cause| {
                let message = format!("the payload of event `{}` does not fit: {cause}", event.id);
                Error::from(Failure::new("value", message))
            })?;
            Ok(Event { id: event.id, position: event.position, at: event.at, payload })
        })
    }
}

impl IntoFuture for Sleep {
    type Output = Result<()>;
    type IntoFuture = Unit;
    fn into_future(self) -> Unit {
        self.into_unit(false)
    }
}

impl IntoFuture for Publish {
    type Output = Result<()>;
    type IntoFuture = Unit;
    fn into_future(self) -> Unit {
        self.into_unit(false)
    }
}

impl<T: DeserializeOwned> IntoFuture for EventWait<T> {
    type Output = Result<Event<T>>;
    type IntoFuture = Arriving<T>;
    fn into_future(self) -> Arriving<T> {
        self.into_arriving(false)
    }
}

impl IntoFuture for Ask {
    type Output = Result<Answer>;
    type IntoFuture = Pending<Answer>;
    fn into_future(self) -> Pending<Answer> {
        self.into_pending(false)
    }
}
