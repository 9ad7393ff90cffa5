//! Child runs: calls, handles and detached starts.

use crate::ctx::Ctx;
use crate::ctx::leaf::{Leaf, Pending, Prepared, Wanted};
use crate::error::{Error, Result};
use crate::json;
use crate::replay::{
    FingerprintPolicy, OpenSpec, RequestId, Shared, What, check_size, fingerprint,
};
use polos_protocol::record::{Open, OpenChild, Placement, RunOptions};
use polos_protocol::{Failure, RunId, StepKey, Value, limits};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

/// A child run to be awaited, spawned or started: see [`Ctx::call`].
#[must_use = "a call does nothing unless you `.await` it, `.spawn()` it or `.detach()` it"]
pub struct Call<T> {
    pub(crate) ctx: Ctx,
    name: Arc<str>,
    was: Option<Arc<str>>,
    workflow: String,
    input: Result<Value, Failure>,
    fingerprint: Option<Arc<str>>,
    on_mismatch: FingerprintPolicy,
    options: RunOptions,
    value: PhantomData<fn() -> T>,
}

impl<T> std::fmt::Debug for Call<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Call").field("workflow", &self.workflow).finish_non_exhaustive()
    }
}

impl Ctx {
    /// A child run of another workflow, agent or tool, and its output. Its step is named after the
    /// workflow unless [`Call::name`] says otherwise.
    ///
    /// ```no_run
    /// # use polos_sdk::{Ctx, Result};
    /// # async fn body(ctx: Ctx) -> Result<()> {
    /// let total: u64 = ctx.call("sum", &[1, 2, 3]).await?;
    /// let slow = ctx.call::<u64>("sum", &[4, 5, 6]).spawn().await?;
    /// let both = total + slow.await?;
    /// # let _ = both; Ok(()) }
    /// ```
    pub fn call<T: DeserializeOwned>(
        &self,
        workflow: impl Into<String>,
        input: &(impl Serialize + ?Sized),
    ) -> Call<T> {
        let workflow = workflow.into();
        Call {
            ctx: self.clone(),
            name: workflow.as_str().into(),
            was: None,
            input: json::to_value(input),
            fingerprint: fingerprint(input).ok(),
            on_mismatch: FingerprintPolicy::Block,
            workflow,
            options: RunOptions::default(),
            value: PhantomData,
        }
    }

    /// Starts a child run and gives a handle on it: short for `call(…).spawn()`.
    pub async fn spawn<T: DeserializeOwned>(
        &self,
        workflow: impl Into<String>,
        input: &(impl Serialize + ?Sized),
    ) -> Result<Handle<T>> {
        let call = self.call::<T>(workflow, input);
        call.spawn().await
    }
}

impl<T: DeserializeOwned> Call<T> {
    /// The step's name.
    pub fn name(mut self, name: impl AsRef<str>) -> Self {
        self.name = name.as_ref().into();
        self
    }

    /// The name under which an earlier build recorded it.
    pub fn was(mut self, old: impl AsRef<str>) -> Self {
        self.was = Some(old.as_ref().into());
        self
    }

    /// How the child is to run: queue, priority, labels, time limits.
    pub fn options(mut self, options: RunOptions) -> Self {
        self.options = options;
        self
    }

    /// The queue of the child.
    pub fn queue(mut self, queue: impl Into<String>) -> Self {
        self.options.queue = Some(queue.into());
        self
    }

    /// The child must run near the holder of this key.
    pub fn placement(mut self, key: impl Into<String>, require: bool) -> Self {
        self.options.placement = Some(Placement { key: key.into(), require });
        self
    }

    /// What to do if the recorded input was another; by default the run blocks.
    pub fn on_mismatch(mut self, policy: FingerprintPolicy) -> Self {
        self.on_mismatch = policy;
        self
    }

    /// Starts the child and gives a handle on it, once the start is durable.
    pub fn spawn(self) -> Spawn<T> {
        self.opening(false)
    }

    /// Starts a run that this one neither waits for nor cancels; gives its id once the start is
    /// durable.
    pub async fn detach(self) -> Result<RunId> {
        Ok(self.opening(true).await?.run)
    }

    fn opening(self, detached: bool) -> Spawn<T> {
        let shared = self.ctx.shared.clone();
        let parent = self.ctx.info.run;
        let leaf = self.prepare(true, detached, false).map(|p| Leaf::new(shared.clone(), p));
        Spawn { shared, parent, leaf, value: PhantomData }
    }

    fn prepare(self, handle: bool, detached: bool, direct: bool) -> Result<Prepared> {
        let input =
            self.input.and_then(|input| check_size(&input, limits::BLOB_BYTES_MAX).map(|()| input));
        let child = OpenChild {
            workflow: self.workflow,
            input: input.map_err(Error::from)?,
            options: self.options,
            detached,
        };
        let spec = OpenSpec {
            open: Open::Child(child),
            handle,
            fingerprint: self.fingerprint,
            on_mismatch: self.on_mismatch,
        };
        let mut prepared = Prepared::new(self.name, Wanted::Ready(What::Open(Box::new(spec))));
        prepared.was = self.was;
        prepared.direct = direct;
        Ok(prepared)
    }

    pub(crate) fn into_called(self, direct: bool) -> Called<T> {
        let shared = self.ctx.shared.clone();
        Called(self.prepare(false, false, direct).map(|p| Pending::new(shared, p)))
    }
}

impl<T: DeserializeOwned> IntoFuture for Call<T> {
    type Output = Result<T>;
    type IntoFuture = Called<T>;

    fn into_future(self) -> Called<T> {
        self.into_called(false)
    }
}

/// The future of a [`Call`].
#[derive(Debug)]
#[must_use = "futures do nothing unless you `.await` them"]
pub struct Called<T>(Result<Pending<T>>);

impl<T: DeserializeOwned> Future for Called<T> {
    type Output = Result<T>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.0 {
            Ok(pending) => Pin::new(pending).poll(context),
            Err(error) => Poll::Ready(Err(error.clone())),
        }
    }
}

/// The future of [`Call::spawn`].
#[must_use = "futures do nothing unless you `.await` them"]
pub struct Spawn<T> {
    shared: Arc<Shared>,
    parent: RunId,
    leaf: Result<Leaf>,
    value: PhantomData<fn() -> T>,
}

impl<T> std::fmt::Debug for Spawn<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Spawn")
    }
}

impl<T> Future for Spawn<T> {
    type Output = Result<Handle<T>>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let leaf = match &mut self.leaf {
            Ok(leaf) => leaf,
            Err(error) => return Poll::Ready(Err(error.clone())),
        };
        leaf.poll_opened(context).map(|(id, key)| {
            let mut core = self.shared.core();
            if let Some(failure) = core.machine.taken_if_cancelled(id) {
                return Err(Error::Cancelled(failure));
            }
            drop(core);
            let run = RunId::derived(self.parent.bytes(), key.as_str());
            Ok(Handle { shared: self.shared.clone(), id, key, run, value: PhantomData })
        })
    }
}

/// A child run that goes on while the parent does other things. Await it for its output; drop it
/// to leave the child to itself.
#[must_use = "await the handle for the child's output"]
pub struct Handle<T> {
    shared: Arc<Shared>,
    id: RequestId,
    key: StepKey,
    run: RunId,
    value: PhantomData<fn() -> T>,
}

impl<T> std::fmt::Debug for Handle<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Handle").field("run", &self.run).finish_non_exhaustive()
    }
}

impl<T> Handle<T> {
    /// The journal's key under which the child was opened.
    pub fn key(&self) -> &StepKey {
        &self.key
    }

    /// The child run.
    pub fn run(&self) -> RunId {
        self.run
    }

    pub(crate) fn into_pending(self, direct: bool) -> Pending<T> {
        self.shared.core().machine.set_direct(self.id, direct);
        Pending::of(self.shared, self.id)
    }
}

impl<T: DeserializeOwned> IntoFuture for Handle<T> {
    type Output = Result<T>;
    type IntoFuture = Pending<T>;

    fn into_future(self) -> Pending<T> {
        self.into_pending(false)
    }
}
