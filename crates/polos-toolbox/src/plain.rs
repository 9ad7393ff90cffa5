//! Output as plain text: UTF-8 mended across chunk borders, terminal escapes taken out.
//!
//! What a command prints may be made to deceive whoever sees it; so nothing but text, tabs and
//! line ends passes.

/// The longest incomplete character at the end of a chunk.
const INCOMPLETE_BYTES_MAX: usize = 3;

/// Turns bytes into plain text, chunk by chunk.
#[derive(Debug, Default)]
pub(crate) struct Plain {
    incomplete: Vec<u8>,
    state: State,
    /// A carriage return whose next character is not known yet.
    carriage_return: bool,
}

/// Where in an escape sequence the text is.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum State {
    #[default]
    Ground,
    /// After ESC.
    Escape,
    /// After ESC and an intermediate character: one more belongs to it.
    Intermediate,
    /// After `ESC [`.
    Sequence,
    /// In a string for the terminal, such as a title.
    String,
    /// After ESC within such a string.
    StringEscape,
}

/// The plain text of bytes that are complete.
pub(crate) fn text_of(bytes: &[u8]) -> String {
    let mut plain = Plain::default();
    let mut text = String::with_capacity(bytes.len());
    plain.push(bytes, &mut text);
    plain.finish(&mut text);
    text
}

impl Plain {
    /// Adds bytes; what is text by now goes to `out`.
    pub(crate) fn push(&mut self, bytes: &[u8], out: &mut String) {
        let joined;
        let mut rest = if self.incomplete.is_empty() {
            bytes
        } else {
            joined = [std::mem::take(&mut self.incomplete).as_slice(), bytes].concat();
            joined.as_slice()
        };
        while !rest.is_empty() {
            match std::str::from_utf8(rest) {
                Ok(text) => {
                    self.chars(text, out);
                    return;
                }
                Err(error) => {
                    let (good, bad) = rest.split_at(error.valid_up_to());
                    self.chars(std::str::from_utf8(good).unwrap_or_default(), out);
                    let Some(length) = error.error_len() else {
                        debug_assert!(bad.len() <= INCOMPLETE_BYTES_MAX);
                        self.incomplete = bad.to_vec();
                        return;
                    };
                    self.char(char::REPLACEMENT_CHARACTER, out);
                    rest = &bad[length..];
                }
            }
        }
    }

    /// Ends the text: what was incomplete is replaced.
    pub(crate) fn finish(&mut self, out: &mut String) {
        if !std::mem::take(&mut self.incomplete).is_empty() {
            self.char(char::REPLACEMENT_CHARACTER, out);
        }
        if std::mem::take(&mut self.carriage_return) {
            out.push('\r');
        }
        self.state = State::Ground;
    }

    fn chars(&mut self, text: &str, out: &mut String) {
        for char in text.chars() {
            self.char(char, out);
        }
    }

    fn char(&mut self, char: char, out: &mut String) {
        self.state = match (self.state, char) {
            (State::Ground, char) => return self.ground(char, out),
            (State::Escape, '[') | (State::Sequence, ' '..='?') => State::Sequence,
            (State::Escape, ']' | 'P' | 'X' | '^' | '_') | (State::StringEscape, '\u{1b}') => {
                State::String
            }
            (State::Escape, ' '..='/') => State::Intermediate,
            (State::Escape | State::Sequence | State::Intermediate, '\u{1b}') => State::Escape,
            (State::Escape | State::Intermediate, '0'..='~') | (State::Sequence, '@'..='~') => {
                State::Ground
            }
            (State::String, '\u{1b}') => State::StringEscape,
            (State::String, '\u{7}' | '\u{9c}') | (State::StringEscape, '\\') => State::Ground,
            (State::String, char) if char != '\n' => State::String,
            // Not a sequence after all; a line end also ends a string that nobody ended.
            (_, char) => {
                self.state = State::Ground;
                return self.ground(char, out);
            }
        };
    }

    fn ground(&mut self, char: char, out: &mut String) {
        if std::mem::take(&mut self.carriage_return) && char != '\n' {
            out.push('\r');
        }
        match char {
            '\u{1b}' => self.state = State::Escape,
            '\u{9b}' => self.state = State::Sequence,
            '\u{90}' | '\u{98}' | '\u{9d}' | '\u{9e}' | '\u{9f}' => self.state = State::String,
            '\r' => self.carriage_return = true,
            '\n' | '\t' => out.push(char),
            char if char.is_control() => {}
            char => out.push(char),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(bytes: &[u8], expect: &str) {
        assert_eq!(text_of(bytes), expect, "{bytes:?}");
    }

    #[test]
    fn escapes_are_taken_out() {
        check(b"\x1b[1;31mred\x1b[0m plain", "red plain");
        check(b"\x1b]0;title\x07text", "text");
        check(b"\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link");
        check(b"\x1b(Bascii \x1b=keypad", "ascii keypad");
        check("\u{9b}31mred\u{9d}0;t\u{9c}x".as_bytes(), "redx");
        check(b"a\x08b\x00c\x07", "abc");
        check(b"a\r\nb\rc\r", "a\nb\rc\r");
        check(b"a\tb", "a\tb");
    }

    #[test]
    fn an_unended_string_does_not_swallow_the_rest() {
        check(b"\x1b]0;no end\nnext line", "\nnext line");
        check(b"\x1b[31\nnext", "\nnext");
    }

    #[test]
    fn broken_utf8_is_replaced() {
        check(b"a\xffb", "a\u{fffd}b");
        check(b"\xe2\x82", "\u{fffd}");
        check("€".as_bytes(), "€");
    }

    proptest! {
        #[test]
        fn chunks_make_no_difference(bytes: Vec<u8>, step in 1usize..8) {
            let mut plain = Plain::default();
            let mut text = String::new();
            for chunk in bytes.chunks(step) {
                plain.push(chunk, &mut text);
            }
            plain.finish(&mut text);
            prop_assert_eq!(text, text_of(&bytes));
        }

        #[test]
        fn plain_text_passes_whole(text in "[a-zA-Z0-9 \n\téß€漢🎉]*") {
            prop_assert_eq!(text_of(text.as_bytes()), text);
        }
    }
}
