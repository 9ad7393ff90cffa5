//! Why a run is blocked, both sides of a disagreement, and the verb that mends it.

use super::{Telling, header, since};
use crate::show::paint::Tone;
use crate::show::text;
use polos_protocol::failure::{Difference, codes};
use polos_protocol::run::RunDetail;
use polos_protocol::{Blocked, RunId};

/// Below this width the two sides stand one under the other.
const SIDES_WIDTH_MIN: usize = 70;
/// How many lines of each side are shown.
const SIDE_LINES_MAX: usize = 30;

/// All that is to be said about a blocked run; nothing if it is not blocked.
pub(super) fn lines(run: &RunDetail, telling: &Telling) -> Vec<String> {
    let Some(blocked) = &run.blocked else { return Vec::new() };
    let at = blocked.step.as_ref().map(|step| format!(" at `{step}`")).unwrap_or_default();
    let head = telling.paint.tone(Tone::Attention, "blocked");
    let mut lines = vec![String::new(), format!("{head}: {}{at}", blocked.code)];
    lines.extend(indented(&blocked.message, telling, 2));
    if blocked.since > 0 {
        lines.push(format!("  since {}", since(blocked.since, telling.now)));
    }
    if let Some(difference) = &blocked.difference {
        lines.extend(sides(difference, telling));
    }
    if let Some(error) = &blocked.failure {
        lines.extend(header::failure(error, telling).iter().map(|line| format!("  {line}")));
    }
    lines.extend(indented(&format!("hint: {}", blocked.hint), telling, 2));
    lines.push("  mend it with".to_owned());
    lines.extend(verbs(run.summary.id, blocked).iter().map(|verb| format!("    {verb}")));
    lines.push(format!("  more: polos explain {}", blocked.code));
    lines
}

/// The commands that mend a block, the most likely first.
fn verbs(run: RunId, blocked: &Blocked) -> Vec<String> {
    let step = blocked.step.as_deref().map_or_else(|| "STEP".to_owned(), quoted);
    let resume = format!("polos runs resume {run}");
    match blocked.code.as_str() {
        codes::STEP_IN_DOUBT => vec![
            format!("polos runs settle {run} {step} --done JSON"),
            format!("polos runs settle {run} {step} --not-done"),
        ],
        codes::NONDETERMINISM | codes::ORPHANED_STEP => {
            vec![resume.clone(), format!("{resume} --accept")]
        }
        codes::FINGERPRINT_MISMATCH => {
            vec![format!("{resume} --accept"), format!("polos runs retry {run} --from {step}")]
        }
        codes::JOURNAL_LIMIT => vec![format!("polos runs cancel {run}")],
        codes::QUEUE_DEADLOCK => {
            vec!["polos queues set NAME --concurrency N --hold".to_owned(), resume]
        }
        codes::WEDGED => vec![resume, format!("polos runs retry {run} --from {step}")],
        _ => vec![resume],
    }
}

/// A key as a shell takes it.
fn quoted(key: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./%".contains(c);
    if !key.is_empty() && key.chars().all(is_plain) {
        key.to_owned()
    } else {
        format!("'{}'", key.replace('\'', r"'\''"))
    }
}

/// Both sides of a disagreement, beside each other where there is room.
pub(crate) fn sides(difference: &Difference, telling: &Telling) -> Vec<String> {
    let (left, right) = ("the journal holds", "the code asked for");
    if telling.columns < SIDES_WIDTH_MIN {
        let mut lines = vec![format!("  {left}")];
        lines.extend(difference.recorded.iter().take(SIDE_LINES_MAX).map(|l| format!("    {l}")));
        lines.push(format!("  {right}"));
        lines.extend(difference.asked.iter().take(SIDE_LINES_MAX).map(|l| format!("    {l}")));
        return lines.iter().map(|line| text::cut(line, telling.columns)).collect();
    }
    let width = (telling.columns - 8) / 2;
    let row = |sign: &str, left: &str, right: &str| {
        let left = text::pad(&text::cut(&text::plain(left), width), width);
        let right = text::cut(&text::plain(right), width);
        format!("  {sign} {left}  {right}").trim_end().to_owned()
    };
    let mut lines = vec![row(" ", left, right)];
    let count = difference.recorded.len().max(difference.asked.len()).min(SIDE_LINES_MAX);
    for place in 0..count {
        let left = difference.recorded.get(place).map_or("(nothing)", String::as_str);
        let right = difference.asked.get(place).map_or("(nothing)", String::as_str);
        lines.push(row(if left == right { " " } else { "≠" }, left, right));
    }
    lines
}

fn indented(text: &str, telling: &Telling, indent: usize) -> Vec<String> {
    let columns = telling.columns.saturating_sub(indent);
    let pad = " ".repeat(indent);
    text::wrap(&text::plain(text), columns).iter().map(|line| format!("{pad}{line}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(code: &str, step: Option<&str>, expect: &[&str]) {
        let blocked = Blocked {
            code: code.to_owned(),
            message: String::new(),
            hint: String::new(),
            step: step.map(str::to_owned),
            difference: None,
            failure: None,
            since: 0,
        };
        let run = RunId::from_bytes([0; 16]);
        let shown: Vec<_> =
            verbs(run, &blocked).iter().map(|v| v.replace(&run.to_string(), "RUN")).collect();
        assert_eq!(shown, expect);
    }

    #[test]
    fn each_block_has_its_verb() {
        check(
            codes::STEP_IN_DOUBT,
            Some("charge card"),
            &[
                "polos runs settle RUN 'charge card' --done JSON",
                "polos runs settle RUN 'charge card' --not-done",
            ],
        );
        check(codes::UNCAUGHT_ERROR, Some("fetch"), &["polos runs resume RUN"]);
        check(
            codes::FINGERPRINT_MISMATCH,
            Some("a/b#2"),
            &["polos runs resume RUN --accept", "polos runs retry RUN --from 'a/b#2'"],
        );
    }
}
