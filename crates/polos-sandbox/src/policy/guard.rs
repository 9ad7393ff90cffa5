//! The first sieve: lines that a person cannot read as they are, or that parsers read differently.

/// The longest line that is looked at, in bytes.
pub(crate) const LINE_BYTES_MAX: usize = 10_000;

/// Why a line is not looked at any further.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unfit {
    #[error("the command has {bytes} bytes, over the limit of {LINE_BYTES_MAX}")]
    TooLong { bytes: usize },
    #[error("it contains the control character `{}`", .0.escape_unicode())]
    Control(char),
    #[error("it contains `{}`, a blank that is not a plain blank", .0.escape_unicode())]
    Blank(char),
    #[error("it contains the invisible character `{}`", .0.escape_unicode())]
    Invisible(char),
}

/// Refuses lines that are too long or hold characters that hide or reorder text.
pub(crate) fn fit(line: &str) -> Result<(), Unfit> {
    if line.len() > LINE_BYTES_MAX {
        return Err(Unfit::TooLong { bytes: line.len() });
    }
    line.chars().try_for_each(fit_char)
}

fn fit_char(c: char) -> Result<(), Unfit> {
    match c {
        ' ' | '\t' | '\n' => Ok(()),
        _ if c.is_control() => Err(Unfit::Control(c)),
        _ if c.is_whitespace() => Err(Unfit::Blank(c)),
        _ if is_invisible(c) => Err(Unfit::Invisible(c)),
        _ => Ok(()),
    }
}

/// Characters that take no space, reorder their neighbours, or look like a blank.
fn is_invisible(c: char) -> bool {
    matches!(u32::from(c),
        0xad | 0x34f | 0x61c | 0x115f | 0x1160 | 0x17b4 | 0x17b5 | 0x180b..=0x180f
        | 0x200b..=0x200f | 0x202a..=0x202e | 0x2060..=0x206f | 0x2800 | 0x3164
        | 0xfe00..=0xfe0d | 0xfeff | 0xffa0 | 0xfff0..=0xfffb | 0x1_bca0..=0x1_bca3
        | 0x1_d173..=0x1_d17a | 0xe_0000..=0xe_0fff)
}

/// The line with everything that hides made visible, to be shown to a person.
pub fn reveal(line: &str) -> String {
    let mut shown = String::with_capacity(line.len());
    for c in line.chars() {
        match fit_char(c) {
            Ok(()) => shown.push(c),
            Err(_) => shown.extend(c.escape_unicode()),
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_hides_is_shown() {
        assert_eq!(reveal("ls\u{a0}-l\u{202e}x\r"), "ls\\u{a0}-l\\u{202e}x\\u{d}");
        assert_eq!(reveal("a\tb\n"), "a\tb\n");
    }

    #[test]
    fn the_limit_is_exact() {
        assert_eq!(fit(&"x".repeat(LINE_BYTES_MAX)), Ok(()));
        let bytes = LINE_BYTES_MAX + 1;
        assert_eq!(fit(&"x".repeat(bytes)), Err(Unfit::TooLong { bytes }));
    }
}
