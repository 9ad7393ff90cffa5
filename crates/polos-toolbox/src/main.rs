//! The toolbox as a program of its own, for boxes that do not have `polos`.

use std::process::ExitCode;

fn main() -> ExitCode {
    polos_toolbox::program::main(&[], std::env::args_os().skip(1))
}
