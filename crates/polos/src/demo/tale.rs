//! A record of the journal as a part of the story: what an agent said, what it did, what came of it.

use polos_agent::recorded::{EXEC, MODEL, ModelReply, TOOL, ToolOutcome};
use polos_protocol::record::StepDetail;
use polos_protocol::{Kind, Record};

use super::voice::Voice;
use crate::show::moment;
use crate::show::paint::Tone;

/// Lines of a command's output that are shown.
const OUTPUT_LINES: usize = 12;
/// Lines of a diff that are shown when a file was edited.
const EDIT_LINES: usize = 24;

/// Adds up what the records say was spent.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Spent {
    pub(crate) tokens: u64,
    pub(crate) cost_micros: u64,
    pub(crate) has_unknown_price: bool,
}

/// Tells a record of a run of `who`.
pub(crate) fn tell(voice: &mut Voice, who: &str, record: &Record, spent: &mut Spent) {
    if record.kind() != Kind::Step {
        return;
    }
    let Ok(detail) = record.record.detail::<Option<StepDetail>>() else { return };
    let label = detail.and_then(|detail| detail.label).unwrap_or_default();
    if let Some(error) = &record.record.error {
        voice.event(who, Some(Tone::Bad), &format!("`{}` failed: {}", record.key(), error.message));
        return;
    }
    let Some(value) = &record.record.value else { return };
    match label.as_str() {
        MODEL => {
            if let Ok(reply) = value.parse::<ModelReply>() {
                tell_reply(voice, who, &reply, spent);
            }
        }
        EXEC | TOOL => {
            if let Ok(outcome) = value.parse::<ToolOutcome>() {
                tell_outcome(voice, who, &outcome);
            }
        }
        _ => {}
    }
}

fn tell_reply(voice: &mut Voice, who: &str, reply: &ModelReply, spent: &mut Spent) {
    spent.tokens += reply.response.usage.total();
    spent.cost_micros += reply.cost_micros.unwrap_or(0);
    spent.has_unknown_price |= reply.cost_micros.is_none();
    let text = reply.response.text();
    let text = text.trim();
    if !text.is_empty() {
        voice.event(who, None, &said(text));
    }
}

/// An answer in JSON is told by its report.
fn said(text: &str) -> String {
    let answer = serde_json::from_str::<serde_json::Value>(text).ok();
    let report = answer.as_ref().and_then(|answer| answer["report"].as_str());
    report.unwrap_or(text).to_owned()
}

fn tell_outcome(voice: &mut Voice, who: &str, outcome: &ToolOutcome) {
    let failed = if outcome.is_error { ", refused" } else { "" };
    if let Some(ran) = &outcome.ran {
        let took = moment::duration(ran.duration_ms);
        let (ended, tone) = match ran.exit_code {
            Some(0) => ("exit status 0".to_owned(), Tone::Good),
            Some(code) => (format!("exit status {code}"), Tone::Bad),
            None => ("ended by force".to_owned(), Tone::Bad),
        };
        voice.event(who, Some(tone), &format!("$ {}   ({ended}, {took})", outcome.about));
        // What git says is shown where it matters: with the question.
        if who != super::workflow::NAME {
            tell_output(voice, &ran.stdout);
        }
    } else {
        let tone = if outcome.is_error { Tone::Bad } else { Tone::Dim };
        voice.event(who, Some(tone), &format!("{} {}{failed}", outcome.tool, outcome.about));
        if outcome.is_error {
            text_of(outcome).lines().take(3).for_each(|line| voice.quote(line, Tone::Bad));
        } else if outcome.tool == "edit" {
            tell_edit(voice, &text_of(outcome));
        }
    }
}

/// The last lines, and those before them that say what failed.
fn tell_output(voice: &mut Voice, stdout: &str) {
    let lines: Vec<&str> = stdout.trim_end().lines().collect();
    let skip = lines.len().saturating_sub(OUTPUT_LINES);
    if skip > 0 {
        voice.quote(&format!("… {skip} lines before"), Tone::Dim);
    }
    for line in &lines[skip..] {
        let tone = if line.starts_with("not ok") { Tone::Bad } else { Tone::Dim };
        voice.quote(line, tone);
    }
}

/// The changed lines of the snippet that the edit answered with.
fn tell_edit(voice: &mut Voice, text: &str) {
    let diff: Vec<&str> = text
        .lines()
        .skip_while(|line| !line.starts_with("@@"))
        .filter(|line| line.starts_with(['+', '-']))
        .collect();
    voice.diff(&diff.join("\n"), EDIT_LINES);
}

pub(crate) fn text_of(outcome: &ToolOutcome) -> String {
    let texts = outcome.content.iter().filter_map(|block| match block {
        polos_llm::Block::Text { text, .. } => Some(text.as_str()),
        _ => None,
    });
    texts.collect::<Vec<_>>().join("\n")
}
