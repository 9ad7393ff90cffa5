//! `cargo xtask check`: all that needs no test run.

use crate::{generate, layers, process};
use anyhow::Result;

/// Check format, lints, layers and generated files
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Format what can be formatted first
    #[arg(long)]
    fix: bool,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let format: &[&str] = if args.fix { &["fmt", "--all"] } else { &["fmt", "--all", "--check"] };
    process::run(&mut process::cargo(format))?;
    layers::check()?;
    process::say("the layers hold");
    process::run(&mut process::cargo(&[
        "clippy",
        "--workspace",
        "--all-targets",
        "--",
        "-D",
        "warnings",
    ]))?;
    generate::check()
}
