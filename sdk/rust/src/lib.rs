//! Durable workflows in plain Rust: worker, replay and client.
