//! Behaviour of the providers against servers on the loopback interface.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on stops")]

mod anthropic;
mod connection;
mod errors;
mod fake;
mod openai;
mod requests;
mod scripted;
