//! A seeded simulation of engine, workers and store.
