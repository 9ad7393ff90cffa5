//! Text of a known width: safe for a terminal, cut at a whole character.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// The width to write for when it is not a terminal that says its own.
const WIDTH_DEFAULT: usize = 100;
/// Narrower than this nothing is readable, so it is not tried.
const WIDTH_MIN: usize = 40;

/// How many columns there are.
pub(crate) fn width_of_terminal() -> usize {
    let columns = std::env::var("COLUMNS").ok().and_then(|text| text.parse().ok());
    let asked = || {
        rustix::termios::tcgetwinsize(std::io::stdout()).ok().map(|size| usize::from(size.ws_col))
    };
    columns.or_else(asked).filter(|width| *width > 0).unwrap_or(WIDTH_DEFAULT).max(WIDTH_MIN)
}

/// The columns that a text takes.
pub(crate) fn width(text: &str) -> usize {
    text.width()
}

/// A text on one line that cannot talk to the terminal: control characters become spaces, and
/// what changes the direction of writing is left out.
pub(crate) fn plain(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}' => {}
            c if c.is_control() => {
                if !line.ends_with(' ') {
                    line.push(' ');
                }
            }
            c => line.push(c),
        }
    }
    line.truncate(line.trim_end().len());
    line
}

/// Many lines that cannot talk to the terminal: as [`plain`], but line ends and tabs stay.
pub(crate) fn plain_lines(text: &str) -> String {
    let lines: Vec<_> = text.lines().map(|line| plain(&line.replace('\t', "    "))).collect();
    lines.join("\n")
}

/// Cuts a text to so many columns, with `…` in the place of what was cut. A mark that belongs to
/// the character before it is never parted from it.
pub(crate) fn cut(text: &str, columns: usize) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    if columns == 0 {
        return String::new();
    }
    let room = columns - 1;
    let mut taken = 0;
    let mut short = String::new();
    for character in text.chars() {
        let more = character.width().unwrap_or(0);
        if taken + more > room {
            break;
        }
        taken += more;
        short.push(character);
    }
    while short.ends_with('\u{200d}') {
        short.pop();
    }
    short.truncate(short.trim_end().len());
    short.push('…');
    short
}

/// Breaks a line of code into lines of so many columns, wherever that is.
pub(crate) fn fold(text: &str, columns: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    let mut taken = 0;
    for character in text.chars() {
        let more = character.width().unwrap_or(0);
        if taken + more > columns && taken > 0 {
            lines.push(String::new());
            taken = 0;
        }
        taken += more;
        if let Some(line) = lines.last_mut() {
            line.push(character);
        }
    }
    lines
}

/// Fills a text with spaces up to so many columns.
pub(crate) fn pad(text: &str, columns: usize) -> String {
    let missing = columns.saturating_sub(width(text));
    format!("{text}{}", " ".repeat(missing))
}

/// Breaks a text into lines of so many columns, between words.
pub(crate) fn wrap(text: &str, columns: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if width(line) + 1 + width(word) <= columns => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_cut(text: &str, columns: usize, expect: &str) {
        assert_eq!(cut(text, columns), expect);
        assert!(width(&cut(text, columns)) <= columns, "{text}");
    }

    #[test]
    fn cuts_at_whole_characters() {
        check_cut("short", 10, "short");
        check_cut("exactly ten", 11, "exactly ten");
        check_cut("a longer text", 8, "a longe…");
        check_cut("漢字漢字", 5, "漢字…");
        check_cut("漢字漢字", 4, "漢…");
        check_cut("cafe\u{301} noir", 5, "cafe\u{301}…");
        check_cut("word word", 6, "word…");
        check_cut("👩\u{200d}💻👩\u{200d}💻", 3, "👩…");
    }

    #[test]
    fn a_text_cannot_talk_to_the_terminal() {
        assert_eq!(plain("a\x1b[31mb\r\nc\u{202e}d"), "a [31mb cd");
        assert_eq!(plain_lines("a\n\tb\x07"), "a\n    b");
    }

    #[test]
    fn folds_anywhere() {
        assert_eq!(fold("abcdef", 4), ["abcd", "ef"]);
        assert_eq!(fold("漢字漢", 5), ["漢字", "漢"]);
        assert_eq!(fold("", 4), [""]);
    }

    #[test]
    fn wraps_between_words() {
        assert_eq!(wrap("one two three", 7), ["one two", "three"]);
        assert_eq!(wrap("unbreakable", 4), ["unbreakable"]);
        assert!(wrap("  ", 4).is_empty());
    }
}
