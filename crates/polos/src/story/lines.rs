//! The entries of a story as lines, children nested under the step that started them.

use super::entry::{self, Entry, Stand};
use super::{Story, Telling, tone_of};
use crate::show::paint::Tone;
use crate::show::{amount, json, moment, text};

/// The widest that the column of keys gets.
const KEY_WIDTH_MAX: usize = 32;
/// The width of the column of labels.
const LABEL_WIDTH: usize = 8;
/// The width of the column of durations.
const TOOK_WIDTH: usize = 11;
/// How many failed attempts of a step are told before the rest is counted.
const FAILURES_SHOWN: usize = 4;

/// What the run did, one line an entry.
pub(super) fn of(story: &Story, telling: &Telling, indent: usize) -> Vec<String> {
    let entries = entry::entries(story.run.summary.id, &story.journal);
    let hidden = entries.iter().filter(|entry| entry.superseded && !telling.all).count();
    let shown: Vec<_> =
        entries.into_iter().filter(|entry| telling.all || !entry.superseded).collect();
    let page = Page::new(&shown, telling, indent);
    let mut lines = Vec::new();
    for entry in &shown {
        lines.extend(page.entry(story, entry));
    }
    if hidden > 0 {
        let noun = amount::counted(hidden as u64, "superseded step");
        lines.push(page.dim(&format!("({noun} not shown; `--all` shows them)")));
    }
    if story.is_cut {
        lines.push(page.dim("(the journal goes on; `polos runs journal RUN` gives all of it)"));
    }
    lines
}

/// The columns of one story.
struct Page<'a> {
    telling: &'a Telling,
    indent: usize,
    key_width: usize,
}

impl<'a> Page<'a> {
    fn new(entries: &[Entry], telling: &'a Telling, indent: usize) -> Self {
        let widest = entries.iter().map(|e| text::width(&e.key)).max().unwrap_or(0);
        let most = KEY_WIDTH_MAX.min(telling.columns / 3);
        Self { telling, indent, key_width: widest.clamp(8, most.max(8)) }
    }

    fn entry(&self, story: &Story, entry: &Entry) -> Vec<String> {
        let mut lines = vec![self.line(story, entry)];
        lines.extend(self.failures(entry));
        if let Some(child) = entry.child.and_then(|id| story.child(id)) {
            lines.push(self.child_line(child));
            lines.extend(of(child, self.telling, self.indent + 6));
        }
        lines
    }

    fn line(&self, story: &Story, entry: &Entry) -> String {
        let sign = self.telling.paint.tone(tone(entry), &entry.stand.sign().to_string());
        let head = format!("{:indent$}{sign} ", "", indent = self.indent);
        if entry.stand == Stand::Note {
            let room = self.room(self.indent + 2);
            let note = format!("{} {}", entry.note, moment::clock(entry.began));
            return head + &text::cut(&text::plain(&note), room);
        }
        let key = text::pad(&text::cut(&text::plain(&entry.key), self.key_width), self.key_width);
        let took = entry.took_ms.map(moment::duration).unwrap_or_default();
        let label = if entry.superseded { "retried" } else { entry.label.as_str() };
        let middle = format!(
            "{key}  {} {} ",
            text::pad(&text::cut(label, LABEL_WIDTH), LABEL_WIDTH),
            text::pad(&took, TOOK_WIDTH),
        );
        let taken = self.indent + 2 + text::width(&middle);
        let note = json::brief(&self.note(story, entry), self.room(taken));
        (head + &middle + &note).trim_end().to_owned()
    }

    /// What stands at the end of a line: tries, cost, question, outcome.
    fn note(&self, story: &Story, entry: &Entry) -> String {
        let mut parts = Vec::new();
        if entry.once && entry.stand == Stand::Started {
            parts.push("once".to_owned());
        }
        if entry.attempts > 1 {
            parts.push(format!("{} attempts", entry.attempts));
        }
        if let Some(micros) = entry.cost_micros.filter(|micros| *micros > 0) {
            parts.push(amount::dollars(micros));
        }
        if let Some([input, output]) = entry.tokens {
            parts.push(format!("{} → {} tokens", amount::count(input), amount::count(output)));
        }
        if entry.stand == Stand::Waiting {
            parts.push(format!("waiting for {}", self.age(entry)));
        }
        if let Some(approval) = pending_at(story, &entry.key) {
            parts.push(approval);
        }
        parts.push(json::brief(&entry.note, usize::MAX));
        parts.retain(|part| !part.is_empty());
        parts.join(" · ")
    }

    fn age(&self, entry: &Entry) -> String {
        moment::coarse(self.telling.now.saturating_sub(entry.began))
    }

    fn failures(&self, entry: &Entry) -> Vec<String> {
        let room = self.room(self.indent + 4);
        let mut lines: Vec<_> = entry
            .failures
            .iter()
            .take(FAILURES_SHOWN)
            .map(|failure| text::cut(&text::plain(failure), room))
            .collect();
        if entry.failures.len() > FAILURES_SHOWN {
            lines.push(format!("and {} more", entry.failures.len() - FAILURES_SHOWN));
        }
        let pad = " ".repeat(self.indent + 4);
        lines.iter().map(|line| pad.clone() + &self.telling.paint.tone(Tone::Dim, line)).collect()
    }

    fn child_line(&self, child: &Story) -> String {
        let summary = &child.run.summary;
        let state = self.telling.paint.tone(tone_of(summary.state), summary.state.name());
        let pad = " ".repeat(self.indent + 4);
        format!("{pad}{} {} {state}", summary.id, text::plain(&summary.workflow))
    }

    fn dim(&self, line: &str) -> String {
        " ".repeat(self.indent) + &self.telling.paint.tone(Tone::Dim, line)
    }

    fn room(&self, taken: usize) -> usize {
        self.telling.columns.saturating_sub(taken).max(16)
    }
}

fn tone(entry: &Entry) -> Tone {
    match entry.stand {
        _ if entry.superseded => Tone::Dim,
        Stand::Done => Tone::Good,
        Stand::Failed => Tone::Bad,
        Stand::Waiting => Tone::Busy,
        Stand::Retrying | Stand::Started => Tone::Attention,
        Stand::Lost | Stand::Note => Tone::Dim,
    }
}

/// The id of the approval that waits at a key.
fn pending_at(story: &Story, key: &str) -> Option<String> {
    let pending = |a: &&polos_protocol::rest::Approval| {
        a.state == polos_protocol::rest::ApprovalState::Pending && a.key.as_str() == key
    };
    story.approvals.iter().find(pending).map(|approval| approval.id.to_string())
}
