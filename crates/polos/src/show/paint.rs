//! Colour, which only repeats what the words say. `NO_COLOR` and pipes get none.

use std::io::IsTerminal;

/// Whether and how to colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Paint {
    on: bool,
}

/// What a text means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tone {
    /// It went well.
    Good,
    /// It went wrong.
    Bad,
    /// It needs a person.
    Attention,
    /// It goes on.
    Busy,
    /// It matters less.
    Dim,
    /// It matters more.
    Strong,
}

impl Paint {
    /// No colour.
    #[cfg(test)]
    pub(crate) const OFF: Self = Self { on: false };

    /// Colour if standard output is a terminal and nobody said no.
    pub(crate) fn for_stdout() -> Self {
        Self { on: wanted() && std::io::stdout().is_terminal() }
    }

    /// Colour if standard error is a terminal and nobody said no.
    pub(crate) fn for_stderr() -> Self {
        Self { on: wanted() && std::io::stderr().is_terminal() }
    }

    /// The text in the colour of its tone.
    pub(crate) fn tone(self, tone: Tone, text: &str) -> String {
        if !self.on {
            return text.to_owned();
        }
        let code = match tone {
            Tone::Good => "32",
            Tone::Bad => "31",
            Tone::Attention => "33",
            Tone::Busy => "36",
            Tone::Dim => "2",
            Tone::Strong => "1",
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }
}

/// <https://no-color.org>: any value but an empty one says no.
fn wanted() -> bool {
    let silenced = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    !silenced && !dumb
}
