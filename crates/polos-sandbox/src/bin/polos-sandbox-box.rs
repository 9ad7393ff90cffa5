//! A program that can only be a box: for the tests of this crate.

use std::process::ExitCode;

fn main() -> ExitCode {
    polos_sandbox::run_if_asked().unwrap_or(ExitCode::FAILURE)
}
