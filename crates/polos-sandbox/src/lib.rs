//! Boxes that hold: policy, isolation and environments.
//!
//! [`policy`] decides, in the worker, what runs without a person. Nothing here is durable and
//! nothing here talks to a server.

pub mod policy;

/// What is said to a box: requests, replies and what the model is told of the tools.
pub use polos_toolbox as toolbox;

/// Bytes as lower-case hex.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
