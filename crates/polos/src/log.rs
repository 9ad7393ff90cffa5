//! The log of the long-running commands: structured, on standard error.

use clap::ValueEnum;
use tracing_subscriber::EnvFilter;

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people.
    Text,
    /// For programs: one JSON object a line.
    Json,
}

/// Begins to log. `POLOS_LOG` says what is logged, in the manner of `info,polos_engine=debug`.
pub(crate) fn start(format: Format, default: &str) {
    let filter = EnvFilter::try_from_env("POLOS_LOG").unwrap_or_else(|_| EnvFilter::new(default));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // A second start keeps the first one's form; that is what a nested command wants.
    match format {
        Format::Text => log.with_ansi(false).try_init().ok(),
        Format::Json => log.json().try_init().ok(),
    };
}
