//! The unified diff of a change, for people and for the model.

use std::time::Duration;

use similar::{ChangeTag, TextDiff};

use super::change::Change;
use super::read;

/// Lines shown around a change.
const CONTEXT_LINES: usize = 3;
/// Bytes of diff that are shown.
const DIFF_BYTES_MAX: usize = 256 * 1024;
/// Time after which a coarser diff is good enough.
const DIFF_TIME_MAX: Duration = Duration::from_secs(2);

/// A diff and its figures.
#[derive(Debug)]
pub(super) struct Diff {
    pub(super) text: String,
    pub(super) truncated: bool,
    pub(super) added: u64,
    pub(super) removed: u64,
}

impl Diff {
    /// The text, cut where it is longer.
    pub(super) fn shortened(mut self, bytes_max: usize) -> String {
        if self.text.len() > bytes_max {
            self.text.truncate(self.text.floor_char_boundary(bytes_max));
            self.text.push_str("\n[the rest of the change is not shown]\n");
        }
        self.text
    }
}

pub(super) fn of(change: &Change<'_>) -> Diff {
    let before = change.before.as_ref().map_or(&[][..], |before| &before.bytes);
    if read::is_binary(before) || read::is_binary(&change.after) {
        let text = format!("binary file `{}` differs\n", change.path());
        return Diff { text, truncated: false, added: 0, removed: 0 };
    }
    let path = change.path().trim_start_matches('/');
    let from = match change.before {
        Some(_) => format!("a/{path}"),
        None => "/dev/null".to_owned(),
    };
    let before = String::from_utf8_lossy(before);
    let after = String::from_utf8_lossy(&change.after);
    unified(&before, &after, &from, &format!("b/{path}"))
}

fn unified(before: &str, after: &str, from: &str, to: &str) -> Diff {
    let diff = TextDiff::configure().timeout(DIFF_TIME_MAX).diff_lines(before, after);
    let count = |tag| diff.iter_all_changes().filter(|line| line.tag() == tag).count() as u64;
    let (added, removed) = (count(ChangeTag::Insert), count(ChangeTag::Delete));
    let mut text = diff.unified_diff().context_radius(CONTEXT_LINES).header(from, to).to_string();
    let truncated = text.len() > DIFF_BYTES_MAX;
    if truncated {
        text.truncate(text.floor_char_boundary(DIFF_BYTES_MAX));
    }
    Diff { text, truncated, added, removed }
}

#[cfg(test)]
mod tests {
    use super::unified;

    #[test]
    fn shows_what_patch_would_take() {
        let diff = unified("a\nb\nc\n", "a\nB\nc\nd", "a/f", "b/f");
        let expect =
            "--- a/f\n+++ b/f\n@@ -1,3 +1,4 @@\n a\n-b\n+B\n c\n+d\n\\ No newline at end of file\n";
        assert_eq!(diff.text, expect);
        assert_eq!((diff.added, diff.removed, diff.truncated), (2, 1, false));
        assert_eq!(unified("a\n", "a\n", "a/f", "b/f").text, "");
    }
}
