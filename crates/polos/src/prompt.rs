//! Questions at the terminal. Without a terminal nothing is asked and nothing is assumed.

use crate::exit::Problem;
use anyhow::Result;
use std::io::{BufRead, IsTerminal, Write};

/// True if there is a person who can be asked.
pub(crate) fn is_possible() -> bool {
    std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
}

/// Asks for yes or no; no is what an empty line says.
pub(crate) fn confirm(question: &str) -> Result<bool> {
    if !is_possible() {
        return Err(Problem::usage(
            "this needs a yes, and there is no terminal to ask at",
            "add `--yes` if that is what you want",
        ));
    }
    let answer = ask(&format!("{question} [y/N] "))?;
    Ok(answer.is_some_and(|text| matches!(text.trim(), "y" | "Y" | "yes")))
}

/// Asks for a line; nothing at the end of input.
pub(crate) fn ask(question: &str) -> Result<Option<String>> {
    let mut stderr = std::io::stderr().lock();
    write!(stderr, "{question}")?;
    stderr.flush()?;
    let mut line = String::new();
    let read = std::io::stdin().lock().read_line(&mut line)?;
    Ok((read > 0).then(|| line.trim_end_matches(['\n', '\r']).to_owned()))
}
