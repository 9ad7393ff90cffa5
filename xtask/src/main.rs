//! Development commands: `cargo xtask --help`. Each is a thin line over cargo; nothing here is
//! part of the product.

mod check;
mod generate;
mod layers;
mod process;
mod sim;
mod test;

use clap::{Parser, Subcommand};

/// Development commands of Polos.
#[derive(Parser)]
#[command(name = "cargo xtask", disable_help_subcommand = true)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Check(check::Args),
    Test(test::Args),
    Sim(sim::Args),
    Generate(generate::Args),
    Bench(BenchArgs),
}

/// Run a benchmark and print its figures beside the machine's limits
#[derive(clap::Args)]
struct BenchArgs {
    /// Which one, and its own arguments
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true)]
    args: Vec<String>,
}

fn main() -> anyhow::Result<()> {
    match Args::parse().command {
        Command::Check(args) => check::run(&args),
        Command::Test(args) => test::run(&args),
        Command::Sim(args) => sim::run(&args),
        Command::Generate(args) => generate::run(&args),
        Command::Bench(args) => bench(&args),
    }
}

/// Benchmarks are a program of their own, which measures the real `polos`.
fn bench(args: &BenchArgs) -> anyhow::Result<()> {
    process::run(&mut process::cargo(&["build", "--release", "-p", "polos"]))?;
    let mut cargo = process::cargo(&["run", "--release", "-p", "polos-bench"]);
    process::run(cargo.arg("--").args(&args.args))
}
