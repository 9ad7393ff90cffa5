//! `cargo xtask test`: every test there is, in two tiers.

use crate::{process, sim};
use anyhow::Result;
use std::process::Command;
use std::time::Instant;

/// How many seeds the long tier simulates.
const SEEDS_FULL: u64 = 20_000;
/// Tests with a long form read this.
const FULL_VARIABLE: &str = "POLOS_TEST_FULL";

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
    let mut ran = Ran::default();
    ran.step("tests", || process::run(runner(args).args(&args.rest)))?;
    if is_whole(&args.rest) {
        ran.step("examples in the documentation", || process::run(&mut examples()))?;
    }
    if args.full {
        ran.step(&format!("simulation, {SEEDS_FULL} seeds"), || sim::seeds(SEEDS_FULL))?;
    }
    ran.tell(args.full);
    Ok(())
}

/// True unless some tests were chosen: a choice of tests is a choice against the examples.
fn is_whole(rest: &[String]) -> bool {
    match rest {
        [] => true,
        [option, _] => option == "--profile",
        _ => false,
    }
}

/// The test runner: nextest if it is there, which says what the long tests have found.
fn runner(args: &Args) -> Command {
    let mut command = if process::has_nextest() {
        process::cargo(&["nextest", "run", "--workspace"])
    } else {
        process::cargo(&["test", "--workspace", "--lib", "--bins", "--tests", "--no-fail-fast"])
    };
    if args.full {
        command.env(FULL_VARIABLE, "1");
        if process::has_nextest() && !args.rest.iter().any(|option| option == "--profile") {
            command.args(["--profile", "full"]);
        }
    }
    command
}

/// All of the workspace, not the one crate that has examples: with the features of the tests' own
/// build nothing is compiled twice.
fn examples() -> Command {
    process::cargo(&["test", "--workspace", "--doc", "--quiet"])
}

/// What was run, and how long each part took.
#[derive(Default)]
struct Ran(Vec<(String, u64)>);

impl Ran {
    fn step(&mut self, name: &str, run: impl FnOnce() -> Result<()>) -> Result<()> {
        let began = Instant::now();
        run()?;
        self.0.push((name.to_owned(), began.elapsed().as_secs()));
        Ok(())
    }

    fn tell(&self, is_full: bool) {
        let tier = if is_full { "the long tier" } else { "the short tier" };
        let parts: Vec<_> = self.0.iter().map(|(name, s)| format!("{name} ({s} s)")).collect();
        process::say(&format!("{tier} passed: {}", parts.join(", ")));
    }
}
