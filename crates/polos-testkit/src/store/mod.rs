//! The store as tests want it: a model in memory whose commits fail on order, one behaviour suite
//! for every implementation, and what both are fed with.

pub mod memory;
pub mod picture;
pub mod sample;
pub mod suite;

pub use memory::{Fault, Memory, Snapshot};
