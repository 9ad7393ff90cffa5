//! A seeded simulation of engine, workers and store.

pub mod store;
