//! What the sandbox promises, seen from outside.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test may fail where it stands, and says what it skips"
)]

mod attacks;
mod box_cost;
mod box_escapes;
mod box_without_namespaces;
mod box_works;
mod boxes;
mod containers;
mod policy_fuzz;
mod policy_properties;
mod policy_table;
mod policy_ways_around;
