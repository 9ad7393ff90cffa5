//! `cargo xtask test`: every test there is, in two tiers.

use crate::{process, sim};
use anyhow::Result;

/// How many seeds the long tier simulates.
const SEEDS_FULL: u64 = 20_000;

/// Run all tests with fixed seeds
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Run the long ones too: many seeds, many kills
    #[arg(long)]
    full: bool,
    /// Handed to the test runner: names of tests, or its options
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    rest: Vec<String>,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let mut command = if process::has_nextest() {
        // Nextest leaves the examples in the documentation alone: `cargo test --doc` runs them.
        process::cargo(&["nextest", "run", "--workspace"])
    } else {
        process::cargo(&["test", "--workspace", "--no-fail-fast"])
    };
    if args.full {
        // Tests with a long form read this.
        command.env("POLOS_TEST_FULL", "1");
    }
    process::run(command.args(&args.rest))?;
    if args.full { sim::seeds(SEEDS_FULL) } else { Ok(()) }
}
