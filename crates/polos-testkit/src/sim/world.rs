//! The world outside, where effects happen: it counts them and knows what a person could find out.

use super::random::Random;
use polos_protocol::{RunId, StepKey};
use polos_sdk::StepContext;
use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

/// The world.
#[derive(Debug)]
pub(super) struct World {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    acts: BTreeMap<(RunId, StepKey), Acts>,
    random: Random,
}

/// What happened under one step key.
#[derive(Debug, Clone, Default)]
pub(super) struct Acts {
    /// How often it happened.
    pub(super) count: u32,
    /// True if it must not happen twice.
    pub(super) once: bool,
}

impl World {
    /// A world of a seed.
    pub(super) fn new(seed: u64) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(State { acts: BTreeMap::new(), random: Random::new(seed) }),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An effect: it happens at the first poll, and answers at the second. A crash may come between.
    pub(super) fn act(self: &Arc<Self>, step: &StepContext, once: bool) -> Act {
        Act { world: self.clone(), key: (step.run(), step.key().clone()), once, value: None }
    }

    /// What a verification finds: `Some(Some(value))` if it happened, `Some(None)` if not, and
    /// sometimes nothing.
    pub(super) fn look(self: &Arc<Self>, step: &StepContext) -> Look {
        Look { world: self.clone(), key: (step.run(), step.key().clone()), polled: false }
    }

    /// What a person who looks closely finds: whether the effect happened.
    pub(super) fn happened(&self, run: RunId, key: &StepKey) -> bool {
        self.state().acts.get(&(run, key.clone())).is_some_and(|acts| acts.count > 0)
    }

    /// Everything that happened.
    pub(super) fn acts(&self) -> Vec<((RunId, StepKey), Acts)> {
        self.state().acts.iter().map(|(key, acts)| (key.clone(), acts.clone())).collect()
    }

    /// An effect that must not happen twice and did.
    pub(super) fn twice(&self) -> Option<(RunId, StepKey)> {
        let state = self.state();
        let mut acts = state.acts.iter();
        acts.find(|(_, acts)| acts.once && acts.count > 1).map(|(key, _)| key.clone())
    }
}

/// What a `once` effect gives: the same for the doing and for the finding out.
pub(super) fn once_value(key: &StepKey) -> String {
    format!("did {key}")
}

/// An effect under way.
#[derive(Debug)]
pub(super) struct Act {
    world: Arc<World>,
    key: (RunId, StepKey),
    once: bool,
    value: Option<String>,
}

impl Future for Act {
    type Output = String;

    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<String> {
        if let Some(value) = self.value.take() {
            return Poll::Ready(value);
        }
        let (world, key, once) = (self.world.clone(), self.key.clone(), self.once);
        let mut state = world.state();
        let acts = state.acts.entry(key.clone()).or_default();
        acts.count += 1;
        acts.once = once;
        let value =
            if once { once_value(&key.1) } else { format!("{} time {}", key.1, acts.count) };
        drop(state);
        self.value = Some(value);
        Poll::Pending
    }
}

/// A verification under way.
#[derive(Debug)]
pub(super) struct Look {
    world: Arc<World>,
    key: (RunId, StepKey),
    polled: bool,
}

impl Future for Look {
    type Output = Option<Option<String>>;

    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
        if !std::mem::replace(&mut self.polled, true) {
            return Poll::Pending;
        }
        let mut state = self.world.state();
        if state.random.chance(100) {
            return Poll::Ready(None);
        }
        let happened = state.acts.get(&self.key).is_some_and(|acts| acts.count > 0);
        Poll::Ready(Some(happened.then(|| once_value(&self.key.1))))
    }
}
