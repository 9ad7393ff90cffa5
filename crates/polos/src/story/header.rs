//! The head of a story (what, where, since when, at what cost) and its end (output or error).

use super::entry;
use super::{Story, Telling, since, tone_of};
use crate::show::paint::Tone;
use crate::show::{amount, json, moment, text};
use polos_protocol::run::RunDetail;
use polos_protocol::{Failure, State};

/// How many lines of an output are shown before the rest is left to `--json`.
const OUTPUT_LINES_MAX: usize = 40;
/// How many lines one fact may take.
const FACT_LINES_MAX: usize = 4;
/// How much of the input is shown.
const INPUT_WIDTH: usize = 160;
/// How deep a chain of causes is told.
const CAUSES_MAX: usize = 8;

/// The first lines: the run, the sentence that says why it stands where it stands, the facts.
pub(super) fn lines(story: &Story, telling: &Telling) -> Vec<String> {
    let summary = &story.run.summary;
    let state = telling.paint.tone(tone_of(summary.state), summary.state.name());
    let name = telling.paint.tone(Tone::Strong, &text::plain(&summary.workflow));
    let mut lines = vec![format!("{} {name} ({}) {state}", summary.id, summary.kind.name())];
    // A state that says all there is to say is not said twice.
    if summary.why != summary.state.name() {
        lines.extend(text::wrap(&text::plain(&summary.why), telling.columns));
    }
    lines.push(String::new());
    for (name, fact) in facts(story, telling) {
        let room = telling.columns.saturating_sub(12).max(16);
        let name = telling.paint.tone(Tone::Dim, &text::pad(name, 8));
        let mut fact = text::wrap(&text::plain(&fact), room).into_iter().take(FACT_LINES_MAX);
        lines.push(format!("  {name}  {}", text::cut(&fact.next().unwrap_or_default(), room)));
        lines.extend(fact.map(|line| format!("{}{}", " ".repeat(12), text::cut(&line, room))));
    }
    lines.push(String::new());
    lines
}

fn facts(story: &Story, telling: &Telling) -> Vec<(&'static str, String)> {
    let run = &story.run;
    let mut facts = vec![("started", started(run, telling))];
    if let Some(ended) = run.summary.ended_ms {
        let took = moment::duration(ended.saturating_sub(run.summary.created_ms));
        facts.push(("ended", format!("{}, after {took}", since(ended, telling.now))));
    }
    if let Some(parent) = run.summary.parent {
        let at = run.parent_key.as_deref().unwrap_or_default();
        facts.push(("parent", format!("{parent} at `{at}`, root {}", run.summary.root)));
    }
    if let Some(from) = run.forked_from {
        facts.push(("fork of", from.to_string()));
    }
    if run.worker.is_some() || run.summary.build.is_some() {
        facts.push(("worker", worker(run)));
    }
    facts.push(("queue", queue(run)));
    if !run.options.labels.is_empty() {
        let labels: Vec<_> = run.options.labels.iter().map(|(k, v)| format!("{k}={v}")).collect();
        facts.push(("labels", labels.join(" ")));
    }
    if let Some(session) = run.options.session {
        facts.push(("session", session.to_string()));
    }
    facts.push(("input", json::brief(run.input.text(), INPUT_WIDTH)));
    let records = amount::counted(run.seq, "record");
    facts.push(("journal", format!("{records}, {}", amount::bytes(run.journal_bytes))));
    facts.extend(spent(story).map(|text| ("spent", text)));
    facts
}

fn started(run: &RunDetail, telling: &Telling) -> String {
    let key = run.start_key.as_ref().map(|key| format!(", key `{key}`")).unwrap_or_default();
    format!("{} by {}{key}", since(run.summary.created_ms, telling.now), run.principal)
}

fn worker(run: &RunDetail) -> String {
    let worker = run.worker.map_or_else(|| "none".to_owned(), |worker| worker.to_string());
    let build = run.summary.build.as_deref().unwrap_or("unknown");
    let times = if run.assignment > 1 {
        format!(", assigned {} times", run.assignment)
    } else {
        String::new()
    };
    format!("{worker}, build {build}{times}")
}

fn queue(run: &RunDetail) -> String {
    let key = run.options.concurrency_key.as_ref().map(|k| format!(", key `{k}`"));
    let priority =
        Some(run.options.priority).filter(|p| *p != 0).map(|p| format!(", priority {p}"));
    format!("{}{}{}", run.summary.queue, key.unwrap_or_default(), priority.unwrap_or_default())
}

/// Money and tokens of the run and of the children that are part of the story.
fn spent(story: &Story) -> Option<String> {
    let (micros, [input, output], calls) = total(story);
    if calls == 0 {
        return None;
    }
    let money = if micros > 0 { amount::dollars(micros) } else { "no money".to_owned() };
    let (input, output) = (amount::count(input), amount::count(output));
    Some(format!(
        "{money}, {input} tokens in, {output} out, {}",
        amount::counted(calls, "model call")
    ))
}

fn total(story: &Story) -> (u64, [u64; 2], u64) {
    let mut sum = (0, [0, 0], 0);
    // What was retried was paid for as well.
    for entry in entry::entries(story.run.summary.id, &story.journal) {
        sum.0 += entry.cost_micros.unwrap_or(0);
        if let Some([input, output]) = entry.tokens {
            sum.1[0] += input;
            sum.1[1] += output;
            sum.2 += 1;
        }
    }
    for child in &story.children {
        let (micros, tokens, calls) = total(child);
        sum.0 += micros;
        sum.1[0] += tokens[0];
        sum.1[1] += tokens[1];
        sum.2 += calls;
    }
    sum
}

/// The last lines: what the run gave, or why it failed.
pub(super) fn ending(run: &RunDetail, telling: &Telling) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(output) = &run.output {
        lines.push(String::new());
        lines.push(telling.paint.tone(Tone::Dim, "output"));
        lines.extend(indented(&laid_out(output.text())));
    }
    if let Some(error) = run.error.as_ref().filter(|_| run.summary.state != State::Blocked) {
        lines.push(String::new());
        lines.extend(failure(error, telling));
    }
    lines
}

/// An error with its causes, one line each.
pub(super) fn failure(error: &Failure, telling: &Telling) -> Vec<String> {
    let head = telling.paint.tone(Tone::Bad, "error");
    let mut lines = vec![format!("{head}: {} ({})", text::plain(&error.message), error.code)];
    let causes = std::iter::successors(error.cause.as_deref(), |e| e.cause.as_deref());
    for cause in causes.take(CAUSES_MAX) {
        lines.push(format!("  caused by: {} ({})", text::plain(&cause.message), cause.code));
    }
    lines
}

fn laid_out(json: &str) -> String {
    match serde_json::from_str::<serde_json::Value>(json) {
        Ok(value) => match json::answer(&value) {
            Some(answer) => answer.to_owned(),
            None => json::pretty(&value).unwrap_or_else(|_| json.to_owned()),
        },
        Err(_) => json.to_owned(),
    }
}

fn indented(text: &str) -> Vec<String> {
    let plain = text::plain_lines(text);
    let mut lines: Vec<_> =
        plain.lines().take(OUTPUT_LINES_MAX).map(|line| format!("  {line}")).collect();
    let left = plain.lines().count().saturating_sub(OUTPUT_LINES_MAX);
    if left > 0 {
        lines
            .push(format!("  ({} more; `--json` gives all)", amount::counted(left as u64, "line")));
    }
    lines
}
