//! Runs the simulation over many seeds and says which went wrong.

#![expect(clippy::print_stdout, reason = "a program for the terminal")]

use polos_testkit::sim::{Options, run};
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let (mut seeds, mut from, mut only, mut mutation) = (1000, 1, None, None);
    while let Some(arg) = args.next() {
        let mut number = || args.next().and_then(|text| text.parse::<u64>().ok());
        match arg.as_str() {
            "--seeds" => seeds = number().unwrap_or(seeds),
            "--from" => from = number().unwrap_or(from),
            "--seed" => only = number(),
            "--mutation" => mutation = args.next(),
            other => {
                println!("unknown `{other}`; use --seeds N, --from N, --seed N, --mutation NAME");
                return ExitCode::from(2);
            }
        }
    }
    let mutation: Option<&'static str> = mutation.map(|name| &*name.leak());
    if let Some(seed) = only {
        let report = run(&Options { verbose: true, mutation, ..Options::new(seed) });
        println!("{}", report.log);
        println!(
            "seed {seed}: {} commits, {} events, hash {:016x}",
            report.commits, report.events, report.hash
        );
        println!("{}", report.violation.as_deref().unwrap_or("no violation"));
        return ExitCode::from(u8::from(report.violation.is_some()));
    }
    let (mut commits, mut events, mut failed) = (0, 0, 0_u64);
    for seed in from..from + seeds {
        let report = run(&Options { mutation, ..Options::new(seed) });
        commits += report.commits;
        events += report.events;
        if let Some(violation) = report.violation {
            failed += 1;
            println!("seed {seed}: {violation}");
            if failed >= 5 {
                break;
            }
        }
    }
    println!("{seeds} seeds, {commits} commits, {events} events, {failed} with a violation");
    ExitCode::from(u8::from(failed > 0))
}
