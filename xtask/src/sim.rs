//! `cargo xtask sim`: the simulation alone, with as many seeds as wanted.

use crate::process;
use anyhow::Result;

/// Simulate engine, workers and store under faults, seed by seed
#[derive(clap::Args)]
pub(crate) struct Args {
    /// How many seeds
    #[arg(long, default_value_t = 1000)]
    seeds: u64,
    /// Handed to the simulation: see its own `--help`
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    rest: Vec<String>,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    simulate(args.seeds, &args.rest)
}

/// Simulates so many seeds.
pub(crate) fn seeds(count: u64) -> Result<()> {
    simulate(count, &[])
}

fn simulate(seeds: u64, rest: &[String]) -> Result<()> {
    let mut cargo = process::cargo(&["run", "--release", "-p", "polos-testkit", "--bin", "sim"]);
    process::run(cargo.arg("--").arg("--seeds").arg(seeds.to_string()).args(rest))
}
