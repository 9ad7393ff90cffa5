//! Branches: code that runs side by side, each in a scope of its own.

use crate::ctx::Ctx;
use crate::ctx::call::{Call, Called, Handle};
use crate::ctx::leaf::Pending;
use crate::ctx::step::Step;
use crate::ctx::wait::{Arriving, Ask, Event, EventWait, Publish, Sleep, Unit};
use crate::error::Result;
use crate::replay::{ScopeId, ScopeKind, Shared};
use futures_util::future::BoxFuture;
use polos_protocol::record::Answer;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

/// What can be an item of [`Ctx::all`] and [`Ctx::race`]: everything that a [`Ctx`] gives to be
/// awaited. Other code goes into [`Ctx::branch`].
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a branch of `ctx.all` or `ctx.race`",
    note = "put code of your own into `ctx.branch(\"name\", async move {{ … }})`"
)]
pub trait IntoBranch {
    /// What it gives.
    type Output;
    /// Its future.
    type Future: Future<Output = Result<Self::Output>> + Send + Unpin;
    /// The name of its scope; its index if it has none.
    fn scope_name(&self) -> Option<&str> {
        None
    }
    /// Makes the future.
    fn into_branch(self) -> Self::Future;
}

/// Code with a scope of its own: see [`Ctx::branch`].
#[must_use = "a branch does nothing unless it is awaited, by itself or in `ctx.all` and the like"]
pub struct Branch<T> {
    ctx: Ctx,
    name: Arc<str>,
    body: BoxFuture<'static, Result<T>>,
}

impl<T> std::fmt::Debug for Branch<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Branch").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Ctx {
    /// Code with a scope of its own, as an item of [`Ctx::all`] or [`Ctx::race`], or by itself.
    pub fn branch<T, Fut>(&self, name: impl AsRef<str>, body: Fut) -> Branch<T>
    where
        Fut: Future<Output = Result<T>> + Send + 'static,
    {
        Branch { ctx: self.clone(), name: name.as_ref().into(), body: Box::pin(body) }
    }

    /// Code that runs even though the run is being cancelled, for a bounded time: what must be
    /// undone or let go.
    ///
    /// ```no_run
    /// # use polos_sdk::{Ctx, Result};
    /// # async fn body(ctx: Ctx) -> Result<()> {
    /// let worked: Result<u32> = ctx.step("work", || async { Ok(1) }).await;
    /// if let Err(error) = worked {
    ///     let undo = ctx.clone();
    ///     ctx.cleanup(async move { undo.step("undo", || async { Ok(()) }).await }).await?;
    ///     return Err(error);
    /// }
    /// # Ok(()) }
    /// ```
    pub async fn cleanup<T, Fut>(&self, body: Fut) -> Result<T>
    where
        Fut: Future<Output = Result<T>> + Send,
    {
        let scope = {
            let mut core = self.shared.core();
            let parent = core.scope;
            core.machine.open_cleanup(parent)
        };
        Scoped::new(self.shared.clone(), scope, Box::pin(body)).await
    }
}

impl<T> IntoFuture for Branch<T> {
    type Output = Result<T>;
    type IntoFuture = Lazy<T>;

    fn into_future(self) -> Lazy<T> {
        Lazy { shared: self.ctx.shared, name: self.name, body: Some(self.body), scoped: None }
    }
}

/// The future of a [`Branch`] by itself: its scope is made at the first poll.
#[must_use = "futures do nothing unless you `.await` them"]
pub struct Lazy<T> {
    shared: Arc<Shared>,
    name: Arc<str>,
    body: Option<BoxFuture<'static, Result<T>>>,
    scoped: Option<Scoped<BoxFuture<'static, Result<T>>>>,
}

impl<T> std::fmt::Debug for Lazy<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lazy").field("name", &self.name).finish_non_exhaustive()
    }
}

impl<T> Future for Lazy<T> {
    type Output = Result<T>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if let Some(body) = self.body.take() {
            let mut core = self.shared.core();
            let parent = core.scope;
            let scope = core.machine.open_scope(parent, &self.name, ScopeKind::Sequence);
            drop(core);
            self.scoped = Some(Scoped::new(self.shared.clone(), scope, body));
        }
        match &mut self.scoped {
            Some(scoped) => Pin::new(scoped).poll(context),
            None => Poll::Pending,
        }
    }
}

/// A future whose code asks in a scope of its own.
pub(crate) struct Scoped<F> {
    shared: Arc<Shared>,
    scope: ScopeId,
    future: F,
}

impl<F> Scoped<F> {
    pub(crate) fn new(shared: Arc<Shared>, scope: ScopeId, future: F) -> Self {
        Self { shared, scope, future }
    }

    fn enter(&self, scope: ScopeId) -> ScopeId {
        std::mem::replace(&mut self.shared.core().scope, scope)
    }
}

impl<F: Future + Unpin> Future for Scoped<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let outer = self.enter(self.scope);
        let polled = Pin::new(&mut self.future).poll(context);
        self.enter(outer);
        polled
    }
}

impl<F> Drop for Scoped<F> {
    fn drop(&mut self) {
        self.shared.core().machine.close_scope(self.scope);
    }
}

impl<T: Serialize + DeserializeOwned + 'static> IntoBranch for Step<T> {
    type Output = T;
    type Future = Pending<T>;
    fn into_branch(self) -> Pending<T> {
        self.into_pending(true)
    }
}

impl<T: DeserializeOwned> IntoBranch for Call<T> {
    type Output = T;
    type Future = Called<T>;
    fn into_branch(self) -> Called<T> {
        self.into_called(true)
    }
}

impl<T: DeserializeOwned> IntoBranch for Handle<T> {
    type Output = T;
    type Future = Pending<T>;
    fn into_branch(self) -> Pending<T> {
        self.into_pending(true)
    }
}

impl IntoBranch for Sleep {
    type Output = ();
    type Future = Unit;
    fn into_branch(self) -> Unit {
        self.into_unit(true)
    }
}

impl IntoBranch for Publish {
    type Output = ();
    type Future = Unit;
    fn into_branch(self) -> Unit {
        self.into_unit(true)
    }
}

impl<T: DeserializeOwned> IntoBranch for EventWait<T> {
    type Output = Event<T>;
    type Future = Arriving<T>;
    fn into_branch(self) -> Arriving<T> {
        self.into_arriving(true)
    }
}

impl IntoBranch for Ask {
    type Output = Answer;
    type Future = Pending<Answer>;
    fn into_branch(self) -> Pending<Answer> {
        self.into_pending(true)
    }
}

impl<T> IntoBranch for Branch<T> {
    type Output = T;
    type Future = BoxFuture<'static, Result<T>>;
    fn scope_name(&self) -> Option<&str> {
        Some(&self.name)
    }
    fn into_branch(self) -> Self::Future {
        self.body
    }
}
