//! Patterns of the allowlist: one plain command each, as a list of tokens.
//!
//! `npm test` is exactly those words; a last `*` stands for any further arguments, or none;
//! another lone `*` for one argument; a `*` within a token for any text in that argument.

use polos_toolbox::message::Word;
use serde::{Deserialize, Serialize};

use super::options;

/// Why a pattern cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("an allowlist pattern is empty")]
    Empty,
    #[error(
        "the pattern `{pattern}` begins with a wildcard\nhint: name the program, or set security to `full`"
    )]
    WildName { pattern: String },
    #[error(
        "the pattern `{pattern}` contains `{character}`\nhint: a pattern is one plain command; list each command of a pipeline by itself"
    )]
    NotPlain { pattern: String, character: char },
}

/// One entry of an allowlist.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Pattern {
    text: String,
    tokens: Vec<String>,
    /// Whether any further arguments may follow.
    open: bool,
}

/// A remark on a pattern that is honoured.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Lint {
    pub pattern: String,
    pub remark: String,
}

impl TryFrom<String> for Pattern {
    type Error = Error;

    fn try_from(text: String) -> Result<Self, Error> {
        Self::parse(&text)
    }
}

impl From<Pattern> for String {
    fn from(pattern: Pattern) -> Self {
        pattern.text
    }
}

impl Pattern {
    /// Parses a pattern such as `git diff *`.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let outside = |c: char| {
            matches!(c, ';' | '|' | '&' | '<' | '>' | '$' | '`' | '\\' | '\'' | '"' | '(' | ')')
                || c.is_control()
        };
        if let Some(character) = text.chars().find(|c| outside(*c)) {
            return Err(Error::NotPlain { pattern: text.to_owned(), character });
        }
        let mut tokens: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
        let name = tokens.first().ok_or(Error::Empty)?;
        if name.contains('*') {
            return Err(Error::WildName { pattern: text.to_owned() });
        }
        let text = tokens.join(" ");
        let open = tokens.last().is_some_and(|last| last == "*");
        if open {
            tokens.pop();
        }
        Ok(Self { text, tokens, open })
    }

    /// The pattern as it is written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether the words fit, with no regard to what they mean.
    pub(crate) fn fits(&self, argv: &[Word]) -> bool {
        let enough = if self.open {
            argv.len() >= self.tokens.len()
        } else {
            argv.len() == self.tokens.len()
        };
        enough && self.tokens.iter().zip(argv).all(|(token, word)| token_fits(token, word))
    }

    /// Whether it has no wildcard, and so means one command only.
    pub(crate) fn is_exact(&self) -> bool {
        !self.open && self.tokens.iter().all(|token| !token.contains('*'))
    }

    /// Whether the argument at this place is spelled out.
    pub(crate) fn names(&self, index: usize, argv: &[Word]) -> bool {
        match (self.tokens.get(index), argv.get(index)) {
            (Some(token), Some(Word::Literal(word))) => !token.contains('*') && token == word,
            _ => false,
        }
    }

    /// What its writer should know; it is honoured all the same.
    pub fn lint(&self) -> Option<Lint> {
        let name = self.tokens.first().map(String::as_str).unwrap_or_default();
        let remark = if options::is_wrapper(name) && !self.is_exact() {
            format!(
                "`{}` runs other programs or is interactive: a wildcard never approves it; only \
                 a pattern without `*` does",
                options::base_name(name)
            )
        } else if options::runs_code(name) && self.is_exact() {
            "what it does is decided by files in the workspace, which the agent may change; the \
             boundary is the sandbox"
                .to_owned()
        } else if options::runs_code(name) {
            "this pattern allows any code; the boundary is the sandbox".to_owned()
        } else {
            return None;
        };
        Some(Lint { pattern: self.text.clone(), remark })
    }
}

fn token_fits(token: &str, word: &Word) -> bool {
    let text = match word {
        Word::Literal(text) => text,
        // A wildcard can become anything: only one that stands for anything takes it.
        Word::Glob { .. } => return token == "*",
    };
    if !token.contains('*') {
        return token == text;
    }
    let climbs = |path: &str| path.split(['/', '=']).any(|part| part == "..");
    if token != "*" && climbs(text) && !climbs(token) {
        return false;
    }
    wildcard_fits(token, text)
}

/// `*` stands for any text, other characters for themselves.
fn wildcard_fits(token: &str, text: &str) -> bool {
    let mut parts = token.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let mut parts = parts.peekable();
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return rest.ends_with(part);
        }
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pattern: &str, command: &str, expected: bool) {
        let argv: Vec<Word> =
            command.split(' ').map(|word| Word::Literal(word.to_owned())).collect();
        assert_eq!(Pattern::parse(pattern).unwrap().fits(&argv), expected, "{pattern}: {command}");
    }

    #[test]
    fn tokens_fit_word_by_word() {
        check("node *", "node", true);
        check("node *", "node a b", true);
        check("node *", "nodejs a", false);
        check("npm test", "npm test", true);
        check("npm test", "npm test x", false);
        check("npm test", "npm", false);
        check("find * -delete", "find . -delete", true);
        check("find * -delete", "find . x -delete", false);
        check("cat src/*", "cat src/a/b", true);
        check("cat src/*", "cat src/../../etc/passwd", false);
        check("cat src/*.rs", "cat src/a.rs.bak", false);
        check("cat a*b*c", "cat abcbc", true);
        check("cat a*a", "cat a", false);
        check("ls *", "/tmp/ls x", false);
        check("ls *", "./ls", false);
    }

    #[test]
    fn patterns_that_are_more_than_a_command_are_refused() {
        assert_eq!(Pattern::parse("  "), Err(Error::Empty));
        assert!(matches!(Pattern::parse("* x"), Err(Error::WildName { .. })));
        assert!(matches!(Pattern::parse("a | b"), Err(Error::NotPlain { character: '|', .. })));
        assert!(matches!(Pattern::parse("a $(b)"), Err(Error::NotPlain { character: '$', .. })));
    }

    #[test]
    fn patterns_that_allow_any_code_are_remarked_upon() {
        assert!(Pattern::parse("node *").unwrap().lint().is_some());
        assert!(Pattern::parse("npm test").unwrap().lint().is_some());
        assert!(Pattern::parse("xargs *").unwrap().lint().unwrap().remark.contains("never"));
        assert_eq!(Pattern::parse("ls *").unwrap().lint(), None);
    }
}
