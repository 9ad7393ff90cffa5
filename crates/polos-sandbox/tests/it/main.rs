//! What the sandbox promises, seen from outside.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test may fail where it stands")]

mod box_escapes;
mod box_works;
mod boxes;
mod policy_fuzz;
mod policy_properties;
mod policy_table;
