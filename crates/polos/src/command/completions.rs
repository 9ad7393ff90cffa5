//! `polos completions`: a script for the shell.

use crate::exit::Exit;
use crate::{cli, talk};
use anyhow::Result;
use clap_complete::Shell;

/// Print a script that completes commands in a shell
///
/// Put it where the shell looks, for example:
///   polos completions bash > ~/.local/share/bash-completion/completions/polos
///   polos completions zsh > ~/.zfunc/_polos
///   polos completions fish > ~/.config/fish/completions/polos.fish
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Args {
    /// The shell
    shell: Shell,
}

pub(crate) fn run(args: &Args) -> Result<Exit> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut cli::definition(), "polos", &mut script);
    talk::data(&String::from_utf8(script)?)?;
    Ok(Exit::Done)
}
