//! A run told as a story: what it was asked, what it did, what it waits for, and the way out if it
//! is stuck. It is made of what REST gives; it neither fetches nor prints.

mod blocked;
mod entry;
mod header;
mod lines;
mod outcome;
#[cfg(test)]
mod tests;

use crate::show::moment;
use crate::show::paint::{Paint, Tone};
use polos_protocol::rest::{Approval, JournalEntry};
use polos_protocol::run::RunDetail;
use polos_protocol::{Millis, RunId, State};

pub(crate) use blocked::sides;
pub(crate) use entry::{Entry, Stand, describe};

/// A run with all that its story needs.
#[derive(Debug, Clone, serde::Serialize)]
pub(crate) struct Story {
    /// The run itself.
    pub(crate) run: RunDetail,
    /// Its journal, oldest first.
    pub(crate) journal: Vec<JournalEntry>,
    /// What it asks of people.
    pub(crate) approvals: Vec<Approval>,
    /// The runs it started, as far as they were looked at.
    pub(crate) children: Vec<Self>,
    /// True if the journal is longer than what is here.
    pub(crate) is_cut: bool,
}

/// How a story is to be told.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Telling {
    /// How many columns there are.
    pub(crate) columns: usize,
    /// Whether to colour.
    pub(crate) paint: Paint,
    /// The time from which `ago` counts.
    pub(crate) now: Millis,
    /// True to show what a retry took back as well.
    pub(crate) all: bool,
}

impl Story {
    /// The whole story as text.
    pub(crate) fn tell(&self, telling: &Telling) -> String {
        let mut lines = header::lines(self, telling);
        lines.extend(lines::of(self, telling, 2));
        lines.extend(blocked::lines(&self.run, telling));
        lines.extend(header::ending(&self.run, telling));
        lines.join("\n") + "\n"
    }

    fn child(&self, id: RunId) -> Option<&Self> {
        self.children.iter().find(|child| child.run.summary.id == id)
    }
}

/// The tone of a state.
pub(crate) fn tone_of(state: State) -> Tone {
    match state {
        State::Completed => Tone::Good,
        State::Failed => Tone::Bad,
        State::Cancelled => Tone::Dim,
        State::Blocked => Tone::Attention,
        State::Queued | State::Running | State::Waiting => Tone::Busy,
    }
}

/// `12:00:01Z (4 min ago)`
fn since(at: Millis, now: Millis) -> String {
    format!("{} ({})", moment::absolute(at), moment::relative(at, now))
}
