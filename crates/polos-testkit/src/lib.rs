//! A seeded simulation of engine, workers and store.

#[cfg(feature = "simulation")]
pub mod sim;
pub mod store;
