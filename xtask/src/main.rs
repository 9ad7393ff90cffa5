//! Development commands: checks, simulations, benchmarks.
fn main() {}
