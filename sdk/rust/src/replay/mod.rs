//! The replay core: a state machine between a run's journal and its code.
//!
//! It knows keys, order, `once` steps, retries, cancellation, waiting and re-attachment. It does
//! no I/O, keeps no clock and draws no random number: the time is passed in, frames and requests
//! go in, frames and effects to begin come out. [`Machine`] is the bare core, [`Run`] adds the
//! code (a future over a [`crate::Ctx`]) and is what the worker and the simulation drive.

mod ask;
mod blobs;
mod cancel;
mod derive;
mod diverge;
mod doubt;
mod effect;
mod ending;
mod hand;
mod hash;
mod journal;
mod machine;
mod markers;
mod park;
mod rehearsal;
mod request;
mod retry;
mod run;
mod scope;
mod send;

pub use derive::{canonical, fingerprint, idempotency_key};
pub use machine::{Machine, Output, Settings};
pub use rehearsal::{Need, Rehearsal};
pub use request::{
    Ask, Begin, EffectId, EffectKind, EffectOutcome, EffectReport, Fault, FingerprintPolicy,
    OpenSpec, Outcome, RequestId, StepSpec, Verdict, What,
};
pub use retry::Retry;
pub use run::{BeginEffect, Input, Run, RunOutput, Workflow};
pub use scope::{ScopeId, ScopeKind};

pub(crate) use blobs::check_size;
pub(crate) use run::{Shared, caught};
