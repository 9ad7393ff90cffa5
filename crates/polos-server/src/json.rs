//! The edge's check of JSON: what every language reads alike, and nothing else.
//!
//! Beyond the grammar it refuses keys that come twice, halves of surrogate pairs, numbers that no
//! double holds, and nesting beyond a limit. It makes no tree: values pass through to the letter.

use std::borrow::Cow;
use std::collections::HashSet;

/// How deep a value may nest.
pub const VALUE_DEPTH_MAX: usize = 100;
/// How deep a frame or body may nest: a value within its envelopes.
pub(crate) const TEXT_DEPTH_MAX: usize = VALUE_DEPTH_MAX + 12;
/// Objects with more keys than this are checked through a hash set.
const KEYS_COMPARED_MAX: usize = 24;
/// Shorter numbers without an exponent always fit a double.
const NUMBER_SAFE_LEN: usize = 300;

/// Why a text is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{problem} at byte {offset}")]
pub(crate) struct Error {
    pub(crate) problem: Problem,
    pub(crate) offset: usize,
}

/// What is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Problem {
    #[error("not JSON: {0}")]
    Grammar(&'static str),
    #[error("the key `{0}` comes twice in one object")]
    DuplicateKey(String),
    #[error("half of a surrogate pair")]
    LoneSurrogate,
    #[error("a number that no double holds")]
    Number,
    #[error("nesting deeper than {0} levels")]
    Depth(usize),
}

/// Checks a whole text.
pub(crate) fn check(text: &str, depth_max: usize) -> Result<(), Error> {
    let mut parser = Parser { text, at: 0, depth: 0, depth_max, keys: Vec::new() };
    parser.space();
    parser.value()?;
    parser.space();
    if parser.at == text.len() { Ok(()) } else { Err(parser.grammar("something after the value")) }
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
    depth_max: usize,
    /// The keys of all open objects, the innermost last.
    keys: Vec<Cow<'a, str>>,
}

impl<'a> Parser<'a> {
    fn error(&self, problem: Problem) -> Error {
        Error { problem, offset: self.at }
    }

    fn grammar(&self, what: &'static str) -> Error {
        self.error(Problem::Grammar(what))
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn value(&mut self) -> Result<(), Error> {
        match self.peek() {
            Some(b'{') => self.nested(Self::object),
            Some(b'[') => self.nested(Self::array),
            Some(b'"') => self.string().map(drop),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b't') => self.word("true"),
            Some(b'f') => self.word("false"),
            Some(b'n') => self.word("null"),
            Some(_) => Err(self.grammar("a value must stand here")),
            None => Err(self.grammar("it ends where a value must stand")),
        }
    }

    fn nested(&mut self, inner: fn(&mut Self) -> Result<(), Error>) -> Result<(), Error> {
        if self.depth == self.depth_max {
            return Err(self.error(Problem::Depth(self.depth_max)));
        }
        self.depth += 1;
        self.at += 1;
        self.space();
        inner(self)?;
        self.depth -= 1;
        Ok(())
    }

    fn word(&mut self, word: &'static str) -> Result<(), Error> {
        if !self.text[self.at..].starts_with(word) {
            return Err(self.grammar("only `true`, `false` and `null` are words"));
        }
        self.at += word.len();
        Ok(())
    }

    fn array(&mut self) -> Result<(), Error> {
        if self.take(b']') {
            return Ok(());
        }
        loop {
            self.value()?;
            self.space();
            if self.take(b']') {
                return Ok(());
            }
            if !self.take(b',') {
                return Err(self.grammar("`,` or `]` must stand here"));
            }
            self.space();
        }
    }

    fn object(&mut self) -> Result<(), Error> {
        let first = self.keys.len();
        let mut many = HashSet::new();
        let mut more = !self.take(b'}');
        while more {
            self.key(first, &mut many)?;
            self.space();
            self.value()?;
            self.space();
            more = self.take(b',');
            if more {
                self.space();
            } else if !self.take(b'}') {
                return Err(self.grammar("`,` or `}` must stand here"));
            }
        }
        self.keys.truncate(first);
        Ok(())
    }

    fn key(&mut self, first: usize, many: &mut HashSet<Cow<'a, str>>) -> Result<(), Error> {
        if self.peek() != Some(b'"') {
            return Err(self.grammar("a key in quotes must stand here"));
        }
        let key = self.string()?;
        let before = &self.keys[first..];
        let twice = if before.len() < KEYS_COMPARED_MAX {
            before.contains(&key)
        } else {
            if many.is_empty() {
                many.extend(before.iter().cloned());
            }
            !many.insert(key.clone())
        };
        if twice {
            let shown = key.chars().take(64).collect();
            return Err(self.error(Problem::DuplicateKey(shown)));
        }
        self.keys.push(key);
        self.space();
        if self.take(b':') { Ok(()) } else { Err(self.grammar("`:` must stand here")) }
    }

    /// Reads a string; only one with escapes is copied.
    fn string(&mut self) -> Result<Cow<'a, str>, Error> {
        self.at += 1;
        let start = self.at;
        let mut copied: Option<String> = None;
        let mut plain_from = start;
        loop {
            match self.peek() {
                Some(b'"') => {
                    let tail = &self.text[plain_from..self.at];
                    self.at += 1;
                    return Ok(match copied {
                        None => Cow::Borrowed(tail),
                        Some(text) => Cow::Owned(text + tail),
                    });
                }
                Some(b'\\') => {
                    let text = copied.get_or_insert_default();
                    text.push_str(&self.text[plain_from..self.at]);
                    let character = self.escape()?;
                    text.push(character);
                    plain_from = self.at;
                }
                Some(0..=0x1f) => return Err(self.grammar("a control character in a string")),
                Some(_) => self.at += 1,
                None => return Err(self.grammar("a string does not end")),
            }
        }
    }

    fn escape(&mut self) -> Result<char, Error> {
        self.at += 1;
        let escaped = match self.peek() {
            Some(byte @ (b'"' | b'\\' | b'/')) => char::from(byte),
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => return self.unicode(),
            _ => return Err(self.grammar("an unknown escape")),
        };
        self.at += 1;
        Ok(escaped)
    }

    fn unicode(&mut self) -> Result<char, Error> {
        let first = self.hex()?;
        let code = match first {
            0xd800..=0xdbff if self.text[self.at..].starts_with("\\u") => {
                self.at += 1;
                let second = self.hex()?;
                if !(0xdc00..=0xdfff).contains(&second) {
                    return Err(self.error(Problem::LoneSurrogate));
                }
                0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00)
            }
            code => code,
        };
        char::from_u32(code).ok_or_else(|| self.error(Problem::LoneSurrogate))
    }

    /// Reads `uXXXX`.
    fn hex(&mut self) -> Result<u32, Error> {
        let digits = self.text.as_bytes().get(self.at + 1..self.at + 5);
        let mut code = 0;
        for digit in digits.ok_or_else(|| self.grammar("a string does not end"))? {
            let digit = char::from(*digit).to_digit(16);
            code = code * 16 + digit.ok_or_else(|| self.grammar("`\\u` needs four hex digits"))?;
        }
        self.at += 5;
        Ok(code)
    }

    fn number(&mut self) -> Result<(), Error> {
        let start = self.at;
        self.take(b'-');
        if !self.take(b'0') {
            self.digits()?;
        }
        if self.take(b'.') {
            self.digits()?;
        }
        let exponent = self.take(b'e') || self.take(b'E');
        if exponent {
            let _ = self.take(b'+') || self.take(b'-');
            self.digits()?;
        }
        let text = &self.text[start..self.at];
        if exponent || text.len() > NUMBER_SAFE_LEN {
            let finite = text.parse::<f64>().is_ok_and(f64::is_finite);
            return if finite { Ok(()) } else { Err(self.error(Problem::Number)) };
        }
        Ok(())
    }

    fn digits(&mut self) -> Result<(), Error> {
        let start = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        if self.at > start { Ok(()) } else { Err(self.grammar("a digit must stand here")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::needless_pass_by_value, reason = "the cases read better")]
    fn check(text: &str, expect: Result<(), Problem>) {
        let found = super::check(text, 4).map_err(|error| error.problem);
        assert_eq!(found, expect, "{text}");
        if found.is_ok() {
            // What passes must be JSON to others as well.
            serde_json::from_str::<serde_json::Value>(text).unwrap();
        }
    }

    fn grammar(text: &str) {
        let error = super::check(text, 4).expect_err(text);
        assert!(matches!(error.problem, Problem::Grammar(_)), "{text}: {error}");
        assert!(serde_json::from_str::<serde_json::Value>(text).is_err(), "{text}");
    }

    #[test]
    fn what_every_language_reads_passes() {
        check(
            r#" {"a":[1,-0,1.5e3,true,false,null],"b":{"a":"\ud83d\ude00 \u00e9 ü"},"":""} "#,
            Ok(()),
        );
        check(r#""\"\\\/\b\f\n\r\t""#, Ok(()));
        check("9007199254740993123", Ok(()));
    }

    #[test]
    fn keys_that_come_twice_are_refused_however_written() {
        check(r#"{"a":1,"a":2}"#, Err(Problem::DuplicateKey("a".into())));
        check(r#"{"a":1,"\u0061":2}"#, Err(Problem::DuplicateKey("a".into())));
        check(r#"{"a":{"b":1},"b":{"a":1}}"#, Ok(()));
        let many: Vec<_> = (0..100).map(|i| format!("\"k{i}\":0")).collect();
        check(&format!("{{{}}}", many.join(",")), Ok(()));
        let twice = format!("{{{},\"k3\":1}}", many.join(","));
        check(&twice, Err(Problem::DuplicateKey("k3".into())));
    }

    #[test]
    fn halves_of_pairs_are_refused() {
        check(r#""\ud800""#, Err(Problem::LoneSurrogate));
        check(r#""\udc00x""#, Err(Problem::LoneSurrogate));
        check(r#""\ud800\u0041""#, Err(Problem::LoneSurrogate));
    }

    #[test]
    fn what_no_double_holds_is_refused() {
        check("1e999", Err(Problem::Number));
        check(&format!("1{}", "0".repeat(400)), Err(Problem::Number));
    }

    #[test]
    fn depth_is_limited() {
        check("[[[[]]]]", Ok(()));
        check("[[[[[]]]]]", Err(Problem::Depth(4)));
    }

    #[test]
    fn the_grammar_is_kept() {
        for text in [
            "",
            " ",
            "NaN",
            "Infinity",
            "-",
            "01",
            "1.",
            ".5",
            "1e",
            "tru",
            "[1,]",
            "[1 2]",
            "{",
            "{\"a\"}",
            "{\"a\":1,}",
            "{a:1}",
            "'a'",
            "\"a",
            "\"\\x\"",
            "\"\\u12g4\"",
            "\"\u{1}\"",
            "1 2",
            "[",
            "\"\\u00",
            "{\"a\":1]",
        ] {
            grammar(text);
        }
    }
}
