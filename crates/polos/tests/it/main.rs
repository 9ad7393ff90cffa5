//! The command line as its users meet it: the real program, real processes, a data directory of
//! its own for each test.
#![expect(clippy::unwrap_used, clippy::panic, reason = "the helpers of these tests end the test")]

mod agent;
mod demo;
mod dev;
mod embedded;
mod errors;
mod help;
mod polos;
mod reference;
mod replay;
mod sandbox;
mod server;
