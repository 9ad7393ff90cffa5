//! What a dry replay has found, for people and for programs.

use crate::context::Context;
use crate::show::paint::{Paint, Tone};
use crate::show::{moment, text};
use crate::story::{self, Telling};
use crate::talk;
use anyhow::Result;
use polos_protocol::StepKey;
use polos_protocol::frame::{Finding, Replayed};
use polos_protocol::run::RunSummary;
use serde::Serialize;

#[derive(Serialize)]
struct Line<'a> {
    workflow: &'a str,
    state: &'a str,
    #[serde(flatten)]
    replayed: &'a Replayed,
}

/// One JSON object on a line.
pub(super) fn json(summary: &RunSummary, replayed: &Replayed) -> Result<()> {
    let (workflow, state) = (summary.workflow.as_str(), summary.state.name());
    talk::json(&Line { workflow, state, replayed })
}

/// A line, and both sides if the two differ.
pub(super) fn text(summary: &RunSummary, replayed: &Replayed, context: &Context) -> Result<()> {
    let telling = Telling {
        columns: context.columns(),
        paint: context.paint(),
        now: moment::now(),
        all: false,
    };
    talk::data(&(lines(summary, replayed, &telling).join("\n") + "\n"))
}

fn lines(summary: &RunSummary, replayed: &Replayed, telling: &Telling) -> Vec<String> {
    let (sign, sentence) = sentence(&replayed.finding, telling.paint);
    let mut lines = vec![format!(
        "{sign} {} {} ({})",
        summary.id,
        text::plain(&summary.workflow),
        summary.state.name(),
    )];
    lines.extend(indented(&sentence, telling));
    if let Finding::Differs { blocked } = &replayed.finding {
        if let Some(difference) = &blocked.difference {
            lines.extend(story::sides(difference, telling));
        }
        lines.extend(indented(&format!("hint: {}", blocked.hint), telling));
        lines.extend(indented(&format!("more: polos explain {}", blocked.code), telling));
    }
    for note in &replayed.notes {
        lines.extend(indented(&format!("note: {note}"), telling));
    }
    lines
}

fn sentence(finding: &Finding, paint: Paint) -> (String, String) {
    match finding {
        Finding::Agrees { next } => {
            (paint.tone(Tone::Good, "✓"), format!("agrees; next, it {next}"))
        }
        Finding::Inserts { steps, unchecked } => (
            paint.tone(Tone::Busy, "+"),
            format!(
                "agrees so far; {} would be inserted, and what is recorded behind is not checked: {}",
                named(steps),
                named(unchecked)
            ),
        ),
        Finding::Differs { blocked } => {
            (paint.tone(Tone::Bad, "✗"), format!("differs: {}", blocked.message))
        }
        Finding::Unchecked { message } => {
            (paint.tone(Tone::Attention, "?"), format!("not checked: {message}"))
        }
    }
}

fn named(keys: &[StepKey]) -> String {
    const SHOWN: usize = 5;
    let mut names: Vec<_> = keys.iter().take(SHOWN).map(|key| format!("`{key}`")).collect();
    if keys.len() > SHOWN {
        names.push(format!("{} more", keys.len() - SHOWN));
    }
    names.join(", ")
}

fn indented(said: &str, telling: &Telling) -> Vec<String> {
    let columns = telling.columns.saturating_sub(2);
    text::wrap(&text::plain(said), columns).iter().map(|line| format!("  {line}")).collect()
}
