//! `polos __reference`: what docs/reference takes from the program itself. The whole command line as
//! Markdown, or the description of REST.

use crate::exit::Exit;
use crate::{cli, talk};
use anyhow::Result;
use std::fmt::Write;

/// Print the reference of all commands
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Print this one
    #[arg(value_enum, default_value_t)]
    page: Page,
}

#[derive(Debug, Clone, Copy, Default, clap::ValueEnum)]
enum Page {
    #[default]
    Cli,
    Openapi,
}

pub(crate) fn run(args: &Args) -> Result<Exit> {
    match args.page {
        Page::Cli => talk::data(&markdown()?)?,
        Page::Openapi => talk::data(&format!("{:#}\n", polos_server::rest::document()))?,
    }
    Ok(Exit::Done)
}

fn markdown() -> Result<String> {
    let mut command = cli::definition().term_width(96);
    command.build();
    let mut text = String::from(
        "# The command line\n\nWritten by `cargo xtask generate` from the program itself; do not edit.\n",
    );
    section(&mut text, &mut command, 2)?;
    Ok(text)
}

fn section(text: &mut String, command: &mut clap::Command, level: usize) -> Result<()> {
    let name = command.get_bin_name().unwrap_or_else(|| command.get_name()).to_owned();
    let help = command.render_long_help().to_string();
    let help: Vec<_> = help.lines().map(str::trim_end).collect();
    let help = without_version(help.join("\n").trim_end());
    writeln!(text, "\n{} {name}\n\n```text\n{help}\n```", "#".repeat(level))?;
    for child in command.get_subcommands_mut().filter(|child| !child.is_hide_set()) {
        section(text, child, 3)?;
    }
    Ok(())
}

/// A version in the reference would make it stale with each release.
fn without_version(help: &str) -> String {
    help.replace(env!("CARGO_PKG_VERSION"), "VERSION")
}
