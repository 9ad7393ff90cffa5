//! The context: all that a workflow's code may ask of its run.

mod branch;
mod call;
mod fan;
mod leaf;
mod step;
mod wait;

pub use branch::{Branch, IntoBranch, Lazy};
pub use call::{Call, Called, Handle, Spawn};
pub use fan::{AllOf, Fan, Map, Race2, Race3, RaceOf};
pub use leaf::Pending;
pub use step::{Step, StepContext, Token};
pub(crate) use step::{StepEffect, StepInfo};
pub use wait::{Arriving, Ask, Event, EventWait, Publish, Sleep, Unit};

use crate::json;
use crate::replay::Shared;
use polos_protocol::frame::StreamItem;
use polos_protocol::record::RunOptions;
use polos_protocol::{DefinitionKind, Failure, Millis, RunId, SessionId, StepKey};
use serde::Serialize;
use std::sync::Arc;

/// A run, as its code sees it. Cheap to clone. Everything that is awaited in a workflow's body
/// comes from here; other futures belong into steps.
#[derive(Clone)]
pub struct Ctx {
    pub(crate) shared: Arc<Shared>,
    info: Arc<RunInfo>,
}

impl std::fmt::Debug for Ctx {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Ctx").field(&self.info.run).finish()
    }
}

/// What is known of a run from its start.
#[derive(Debug, Clone)]
pub struct RunInfo {
    /// Its id.
    pub run: RunId,
    /// The name of what it runs.
    pub workflow: String,
    /// What that is.
    pub kind: DefinitionKind,
    /// The first run of its tree.
    pub root: RunId,
    /// The run that started it.
    pub parent: Option<RunId>,
    /// How deep it stands under its root.
    pub depth: u32,
    /// How it was asked to run.
    pub options: RunOptions,
    /// Who started it.
    pub principal: String,
    /// When it was created.
    pub created_ms: Millis,
}

impl RunInfo {
    /// The conversation it belongs to.
    pub fn session(&self) -> Option<SessionId> {
        self.options.session
    }
}

impl Ctx {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        let core = shared.core();
        let start = core.machine.start();
        let info = Arc::new(RunInfo {
            run: start.run,
            workflow: start.workflow.clone(),
            kind: start.kind,
            root: start.root,
            parent: start.parent,
            depth: start.depth,
            options: start.options.clone(),
            principal: start.principal.clone(),
            created_ms: start.created_ms,
        });
        drop(core);
        Self { shared, info }
    }

    /// What is known of the run from its start.
    pub fn info(&self) -> &RunInfo {
        &self.info
    }

    /// The run's id.
    pub fn run_id(&self) -> RunId {
        self.info.run
    }

    /// The run's time in milliseconds since the epoch: when the last outcome that the code was
    /// handed was recorded. The same on replay; it never goes back.
    pub fn now(&self) -> Millis {
        self.shared.core().machine.now()
    }

    /// A UUID that derives from the run: the same on replay. Not a secret.
    pub fn uuid(&self) -> String {
        let mut core = self.shared.core();
        let scope = core.scope;
        core.machine.uuid(scope)
    }

    /// A random number that derives from the run: the same on replay. Not a secret.
    pub fn random(&self) -> u64 {
        let mut core = self.shared.core();
        let scope = core.scope;
        core.machine.random(scope)
    }

    /// True from the place on where the run first came here with this code: guards changed code,
    /// so that runs that were past this place keep their old way.
    pub fn patched(&self, id: &str) -> bool {
        let mut core = self.shared.core();
        let scope = core.scope;
        core.machine.patched(scope, id)
    }

    /// Declares that recorded steps of this name, in this scope, are not asked for any more.
    pub fn removed(&self, name: &str) {
        let mut core = self.shared.core();
        let scope = core.scope;
        core.machine.removed(scope, name);
    }

    /// Why the run is being cancelled, if it is.
    pub fn cancelled(&self) -> Option<Failure> {
        self.shared.core().machine.cancelled().cloned()
    }

    /// True while recorded outcomes are being handed to the code: for logs that should be written
    /// once.
    pub fn is_replaying(&self) -> bool {
        self.shared.core().machine.is_replaying()
    }

    /// Sends a piece of live output of the run itself. Not journaled, and not repeated on replay.
    pub fn stream<T: Serialize + ?Sized>(&self, kind: &str, data: &T) {
        let run = {
            let core = self.shared.core();
            if core.machine.is_replaying() {
                return;
            }
            core.machine.run_ref()
        };
        if let Ok(data) = json::to_value(data) {
            let item = StreamItem { key: StepKey::run(), attempt: 1, kind: kind.into(), data };
            self.shared.streams.send(run, item);
        }
    }
}
