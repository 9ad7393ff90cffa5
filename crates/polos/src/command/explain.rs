//! `polos explain`: the page of an error, from the program itself.

use crate::exit::{Exit, Problem};
use crate::talk;
use anyhow::Result;

include!(concat!(env!("OUT_DIR"), "/error_pages.rs"));

/// Explain an error's code and the way out
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The code, as errors and `polos runs show` print it; all codes without it
    code: Option<String>,
}

pub(crate) fn run(args: &Args) -> Result<Exit> {
    let Some(code) = &args.code else {
        for (code, page) in PAGES {
            let sentence = page.lines().nth(2).unwrap_or_default();
            talk::line(&format!("{code:<24} {sentence}"))?;
        }
        return Ok(Exit::Done);
    };
    let page = PAGES.iter().find(|(known, _)| known == code).ok_or_else(|| {
        Problem::usage(
            format!("there is no error with the code `{code}`"),
            "`polos explain` lists all codes",
        )
    })?;
    talk::data(page.1)?;
    Ok(Exit::Done)
}

/// True if a code has a page.
pub(crate) fn knows(code: &str) -> bool {
    PAGES.iter().any(|(known, _)| *known == code)
}
