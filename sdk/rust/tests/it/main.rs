//! The SDK's behaviour: replay in virtual time, and the worker against a server in memory.

mod hot;
mod order;
mod program;
mod rehearsal;
mod rules;
mod server;
mod world;
