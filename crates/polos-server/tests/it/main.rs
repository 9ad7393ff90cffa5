//! The server's behaviour, over real sockets.
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers end the test")]

mod auth;
mod follow;
mod harness;
mod hostile;
mod openapi;
mod outage;
mod pages;
mod runs;
mod server;
mod values;
mod worker;
