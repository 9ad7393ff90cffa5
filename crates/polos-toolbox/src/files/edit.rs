//! Replacing exact text: pure, and with errors that teach.

use crate::message::{Code, Refusal, Replacement};

/// Replacements in one request.
const REPLACEMENTS_MAX: usize = 200;
/// Line numbers named in an error.
const LINES_NAMED_MAX: usize = 10;
/// Lines compared when nothing matched.
const LINES_COMPARED_MAX: usize = 50_000;
/// Near lines shown when nothing matched.
const NEAR_LINES_MAX: usize = 3;
/// How alike two lines must be, of 100, to be shown.
const NEAR_LIKENESS_MIN: usize = 50;

/// The text after all replacements.
#[derive(Debug)]
pub(super) struct Edited {
    pub(super) text: String,
    pub(super) replacements: u64,
}

/// Applies the replacements one after the other. Line ends stay what they are: in a file that has
/// only CRLF, texts are given and matched with LF.
pub(super) fn apply(
    text: &str,
    replacements: &[Replacement],
    path: &str,
) -> Result<Edited, Refusal> {
    require_sense(replacements)?;
    let crlf = is_crlf(text);
    let mut current = if crlf { text.replace("\r\n", "\n") } else { text.to_owned() };
    let mut count = 0;
    for (index, replacement) in replacements.iter().enumerate() {
        let place = if replacements.len() == 1 {
            String::new()
        } else {
            format!("edit {} of {}: ", index + 1, replacements.len())
        };
        let one = One { text: &current, replacement, crlf, path, place: &place };
        let (next, replaced) = one.apply()?;
        current = next;
        count += replaced;
    }
    let text = if crlf { current.replace('\n', "\r\n") } else { current };
    Ok(Edited { text, replacements: count })
}

fn require_sense(replacements: &[Replacement]) -> Result<(), Refusal> {
    let bad = |message: &str| Err(Refusal::new(Code::BadRequest, message));
    if replacements.is_empty() {
        return bad("there is nothing to replace: `edits` is empty");
    }
    if replacements.len() > REPLACEMENTS_MAX {
        return bad("more than 200 replacements in one edit");
    }
    if replacements.iter().any(|one| one.old_string.is_empty()) {
        return bad("`old_string` is empty; use `write` to make a new file");
    }
    if replacements.iter().any(|one| one.old_string == one.new_string) {
        return bad("`old_string` and `new_string` are the same");
    }
    Ok(())
}

/// Whether every line of the text ends in CRLF.
fn is_crlf(text: &str) -> bool {
    let ends = text.matches('\n').count();
    ends > 0 && ends == text.matches("\r\n").count()
}

/// One replacement in a text.
struct One<'a> {
    text: &'a str,
    replacement: &'a Replacement,
    crlf: bool,
    path: &'a str,
    place: &'a str,
}

impl One<'_> {
    fn apply(&self) -> Result<(String, u64), Refusal> {
        let old = self.line_ends(&self.replacement.old_string);
        let new = self.line_ends(&self.replacement.new_string);
        let found: Vec<usize> = self.text.match_indices(&old).map(|(at, _)| at).collect();
        match found.len() {
            0 => Err(self.no_match(&old)),
            1 => Ok((self.text.replacen(&old, &new, 1), 1)),
            many if self.replacement.replace_all => {
                Ok((self.text.replace(&old, &new), many as u64))
            }
            _ => Err(self.many_matches(&found)),
        }
    }

    fn line_ends(&self, given: &str) -> String {
        if self.crlf { given.replace("\r\n", "\n") } else { given.to_owned() }
    }

    fn many_matches(&self, found: &[usize]) -> Refusal {
        let lines: Vec<String> = found
            .iter()
            .take(LINES_NAMED_MAX)
            .map(|at| (self.text[..*at].matches('\n').count() + 1).to_string())
            .collect();
        let more = if found.len() > LINES_NAMED_MAX { ", …" } else { "" };
        let (place, path, count) = (self.place, self.path, found.len());
        let lines = lines.join(", ");
        Refusal::new(
            Code::ManyMatches,
            format!("{place}`old_string` occurs {count} times in `{path}`, at lines {lines}{more}"),
        )
        .hint("give more of the text around the one place, or set `replace_all`")
    }

    fn no_match(&self, old: &str) -> Refusal {
        let (place, path) = (self.place, self.path);
        let message = format!("{place}`old_string` does not occur in `{path}`");
        Refusal::new(Code::NoMatch, message).hint(self.near(old))
    }

    /// What may have been meant.
    fn near(&self, old: &str) -> String {
        if let Some(line) = self.same_but_for_blanks(old) {
            return format!(
                "the text from line {line} on is the same but for blanks and indentation; copy it \
                 exactly, without the line numbers"
            );
        }
        let wanted = old.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
        let mut near: Vec<(usize, usize, &str)> = self
            .text
            .lines()
            .take(LINES_COMPARED_MAX)
            .enumerate()
            .map(|(index, line)| (likeness(wanted, line.trim()), index + 1, line))
            .filter(|(likeness, ..)| *likeness >= NEAR_LIKENESS_MIN)
            .collect();
        near.sort_by_key(|(likeness, line, _)| (std::cmp::Reverse(*likeness), *line));
        near.truncate(NEAR_LINES_MAX);
        if near.is_empty() {
            return "read the file again: no line of it is like the first line given".to_owned();
        }
        let shown: Vec<String> =
            near.iter().map(|(_, number, line)| format!("{number:>6}\t{}", cut(line))).collect();
        format!("the nearest lines are\n{}", shown.join("\n"))
    }

    /// The line where the text stands if blanks at the ends of lines are left out of account.
    fn same_but_for_blanks(&self, old: &str) -> Option<usize> {
        let wanted: Vec<&str> = old.trim().lines().map(str::trim).collect();
        let lines: Vec<&str> = self.text.lines().take(LINES_COMPARED_MAX).map(str::trim).collect();
        lines.windows(wanted.len().max(1)).position(|window| window == wanted).map(|at| at + 1)
    }
}

/// How alike two lines are, of 100: the share of pairs of letters that they have in common.
fn likeness(one: &str, other: &str) -> usize {
    let (mut one, mut other) = (pairs(one), pairs(other));
    let all = one.len() + other.len();
    if all == 0 {
        return 0;
    }
    one.sort_unstable();
    other.sort_unstable();
    let (mut left, mut right, mut common) = (0, 0, 0);
    while left < one.len() && right < other.len() {
        match one[left].cmp(&other[right]) {
            std::cmp::Ordering::Less => left += 1,
            std::cmp::Ordering::Greater => right += 1,
            std::cmp::Ordering::Equal => {
                common += 1;
                left += 1;
                right += 1;
            }
        }
    }
    common * 200 / all
}

fn pairs(line: &str) -> Vec<(u8, u8)> {
    let bytes = &line.as_bytes()[..line.len().min(400)];
    bytes.windows(2).map(|pair| (pair[0], pair[1])).collect()
}

fn cut(line: &str) -> String {
    let end = line.floor_char_boundary(200);
    if end < line.len() { format!("{}…", &line[..end]) } else { line.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(old: &str, new: &str, replace_all: bool) -> Replacement {
        Replacement { old_string: old.to_owned(), new_string: new.to_owned(), replace_all }
    }

    fn check(text: &str, edits: &[Replacement], expect: &str) {
        let got = match apply(text, edits, "f") {
            Ok(edited) => edited.text,
            Err(refusal) => refusal.to_string(),
        };
        assert_eq!(got, expect);
    }

    #[test]
    fn replaces_what_is_there_once() {
        check("a\nb\n", &[one("b", "c", false)], "a\nc\n");
        check("x x x", &[one("x", "y", true)], "y y y");
        check("a b", &[one("a", "b", false), one("b b", "c", false)], "c");
    }

    #[test]
    fn line_ends_are_kept() {
        check("a\r\nb\r\n", &[one("a\nb", "x\ny\nz", false)], "x\r\ny\r\nz\r\n");
        check("a\r\nb\r\n", &[one("a\r\nb", "x\r\ny", false)], "x\r\ny\r\n");
        check("a\r\nb\nc", &[one("b\nc", "d\ne", false)], "a\r\nd\ne");
        check("\u{feff}a\nb", &[one("a", "c", false)], "\u{feff}c\nb");
    }

    #[test]
    fn errors_teach() {
        check(
            "x\ny\nx\n",
            &[one("x", "z", false)],
            "`old_string` occurs 2 times in `f`, at lines 1, 3\n\
             hint: give more of the text around the one place, or set `replace_all`",
        );
        check(
            "fn main() {\n\tlet value = 1;\n}\n",
            &[one("  let value = 1;", "", false)],
            "`old_string` does not occur in `f`\n\
             hint: the text from line 2 on is the same but for blanks and indentation; copy it \
             exactly, without the line numbers",
        );
        check(
            "let value = 1;\nlet other = 2;\n",
            &[one("let valeu = 1;", "", false)],
            "`old_string` does not occur in `f`\nhint: the nearest lines are\n     1\tlet value = 1;",
        );
        check("a", &[one("", "b", false)], "`old_string` is empty; use `write` to make a new file");
        check("a", &[one("a", "a", false)], "`old_string` and `new_string` are the same");
        check("a", &[], "there is nothing to replace: `edits` is empty");
    }

    #[test]
    fn one_that_fails_says_which() {
        let edits = [one("a", "b", false), one("zzz", "y", false)];
        let refusal = apply("a", &edits, "f").unwrap_err();
        assert!(refusal.message.starts_with("edit 2 of 2: "), "{refusal}");
    }
}
