//! One binary: server, worker, agents and the command line.
fn main() {}
