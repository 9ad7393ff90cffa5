//! The one future that all others are made of: it asks the machine at its first poll, and is ready
//! when the machine hands it an outcome.

use crate::ctx::StepEffect;
use crate::error::Error;
use crate::json;
use crate::replay::{Ask, OpenSpec, Outcome, RequestId, Shared, What};
use polos_protocol::record::{Open, OpenApproval, OpenEvent};
use polos_protocol::{Millis, StepKey};
use serde::de::DeserializeOwned;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

/// What is asked for, as far as it is known before the first poll.
#[derive(Debug)]
pub(crate) enum Wanted {
    Ready(What),
    /// A timer that runs from the first poll.
    Sleep(u64),
    Event(OpenEvent, Option<u64>),
    Approval(Box<OpenApproval>, Option<u64>),
}

impl Wanted {
    /// Times count from the server's present, not from the code's: what is recorded stays.
    fn resolve(self, now: Millis) -> What {
        let after = |wait: Option<u64>| wait.map(|ms| now.saturating_add(ms));
        let open = match self {
            Self::Ready(what) => return what,
            Self::Sleep(ms) => Open::Timer { at: now.saturating_add(ms) },
            Self::Event(event, wait) => {
                Open::Event(OpenEvent { deadline_ms: after(wait).or(event.deadline_ms), ..event })
            }
            Self::Approval(question, wait) => {
                let deadline_ms = after(wait).or(question.deadline_ms);
                Open::Approval(OpenApproval { deadline_ms, ..*question })
            }
        };
        What::Open(Box::new(OpenSpec {
            open,
            handle: false,
            fingerprint: None,
            on_mismatch: crate::replay::FingerprintPolicy::Block,
        }))
    }
}

/// A request before its first poll.
pub(crate) struct Prepared {
    pub(crate) name: Arc<str>,
    pub(crate) was: Option<Arc<str>>,
    pub(crate) direct: bool,
    pub(crate) wanted: Wanted,
    pub(crate) effect: Option<Arc<dyn StepEffect>>,
}

impl Prepared {
    pub(crate) fn new(name: Arc<str>, wanted: Wanted) -> Self {
        Self { name, was: None, direct: false, wanted, effect: None }
    }
}

enum State {
    New(Box<Prepared>),
    Asked(RequestId),
    Done,
}

pub(crate) struct Leaf {
    shared: Arc<Shared>,
    state: State,
}

impl Leaf {
    pub(crate) fn new(shared: Arc<Shared>, prepared: Prepared) -> Self {
        Self { shared, state: State::New(Box::new(prepared)) }
    }

    /// Takes over a request that was made before.
    pub(crate) fn of(shared: Arc<Shared>, id: RequestId) -> Self {
        Self { shared, state: State::Asked(id) }
    }

    /// Makes the request if it is not made yet. `None` if the caller is not the run's own code.
    fn ask(&mut self) -> Option<RequestId> {
        let shared = self.shared.clone();
        let mut core = shared.core();
        if !core.is_in_body() {
            core.block_outside();
            return None;
        }
        if let State::Asked(id) = self.state {
            return Some(id);
        }
        let State::New(prepared) = std::mem::replace(&mut self.state, State::Done) else {
            return None;
        };
        let now = core.now;
        let ask = Ask {
            scope: core.scope,
            name: prepared.name,
            was: prepared.was,
            direct: prepared.direct,
            what: prepared.wanted.resolve(now),
        };
        let id = core.machine.ask(ask, now);
        if let Some(effect) = prepared.effect {
            core.effects.insert(id, effect);
        }
        self.state = State::Asked(id);
        Some(id)
    }

    /// Ready when the opening of a handle has its turn; gives the request away.
    pub(crate) fn poll_opened(&mut self, context: &mut Context<'_>) -> Poll<(RequestId, StepKey)> {
        let Some(id) = self.ask() else { return Poll::Pending };
        let mut core = self.shared.core();
        if let (true, Some(key)) = (core.machine.is_opened(id), core.machine.key(id).cloned()) {
            self.state = State::Done;
            return Poll::Ready((id, key));
        }
        let scope = core.scope;
        core.machine.wake_by(id, scope, context.waker());
        Poll::Pending
    }
}

impl Future for Leaf {
    type Output = (StepKey, Outcome);

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(id) = self.ask() else { return Poll::Pending };
        let shared = self.shared.clone();
        let mut core = shared.core();
        let key = core.machine.key(id).cloned();
        if let (Some(key), Some(outcome)) = (key, core.machine.take(id)) {
            core.effects.remove(&id);
            self.state = State::Done;
            return Poll::Ready((key, outcome));
        }
        let scope = core.scope;
        core.machine.wake_by(id, scope, context.waker());
        Poll::Pending
    }
}

impl Drop for Leaf {
    fn drop(&mut self) {
        if let State::Asked(id) = self.state {
            self.shared.core().dropped(id);
        }
    }
}

/// A [`Leaf`] whose outcome is a value of a type.
#[must_use = "futures do nothing unless you `.await` them"]
pub struct Pending<T> {
    leaf: Leaf,
    value: PhantomData<fn() -> T>,
}

impl<T> Pending<T> {
    pub(crate) fn new(shared: Arc<Shared>, prepared: Prepared) -> Self {
        Self { leaf: Leaf::new(shared, prepared), value: PhantomData }
    }

    pub(crate) fn of(shared: Arc<Shared>, id: RequestId) -> Self {
        Self { leaf: Leaf::of(shared, id), value: PhantomData }
    }
}

impl<T> std::fmt::Debug for Pending<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Pending")
    }
}

impl<T: DeserializeOwned> Future for Pending<T> {
    type Output = Result<T, Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.leaf).poll(context).map(|(key, outcome)| match outcome {
            Outcome::Value(value) => json::from_value(&key, &value),
            Outcome::Failed(failure) => Err(Error::Failed { failure, step: Some(key) }),
            Outcome::Cancelled(failure) => Err(Error::Cancelled(failure)),
        })
    }
}
