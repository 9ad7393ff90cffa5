//! The engine's behaviour, against a real store.

mod lifecycle;
mod operators;
mod ownership;
mod queues;
mod rig;
mod waits;
