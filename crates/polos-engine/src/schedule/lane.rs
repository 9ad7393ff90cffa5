//! A lane: ready runs with the same needs, so that one answer holds for all of them.

use polos_protocol::{Millis, RunId};
use polos_store::read::ReadyRun;
use std::cmp::Reverse;
use std::sync::Arc;

/// A ready run's place in its lane: runs that have run before go first, then by priority, then the
/// oldest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    new: bool,
    priority: Reverse<i32>,
    pub(crate) run: RunId,
}

impl Place {
    pub(crate) fn new(resumed: bool, priority: i32, run: RunId) -> Self {
        Self { new: !resumed, priority: Reverse(priority), run }
    }
}

/// What the runs of a lane need. The concurrency key stands first: lanes of one key are neighbours.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct LaneKey {
    pub(crate) concurrency_key: Option<Arc<str>>,
    pub(crate) workflow: Arc<str>,
    /// The placement key, and whether no other worker will do.
    pub(crate) placement: Option<(Arc<str>, bool)>,
    /// The build that recorded last, when it was first seen, and whether the run is kept to it.
    pub(crate) build: Option<(Arc<str>, Millis, bool)>,
    /// It must run without neighbours on its worker.
    pub(crate) alone: bool,
    /// It has a queue slot already.
    pub(crate) has_slot: bool,
}

impl LaneKey {
    /// The lane and the place of a ready run.
    pub(crate) fn of(ready: &ReadyRun, has_slot: bool) -> (Self, Place) {
        let lane = Self {
            concurrency_key: ready.concurrency_key.as_deref().map(Arc::from),
            workflow: Arc::from(ready.workflow.as_str()),
            placement: ready
                .placement
                .as_ref()
                .map(|(key, require)| (Arc::from(key.as_str()), *require)),
            build: ready.build.clone(),
            alone: ready.alone,
            has_slot,
        };
        (lane, Place::new(ready.resumed, ready.priority, ready.run))
    }
}
