//! The engine's behaviour, against a real store.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod hold;
mod lifecycle;
mod operators;
mod ownership;
mod queues;
mod queues_said;
mod refused;
mod reopen;
mod rig;
mod slots;
mod waits;
