//! The tiny shell that passes by itself: lists and pipelines of plain commands, nothing else.
//!
//! It accepts no construct that a shell would expand, except `*` and `?` in words, and takes of
//! redirections exactly `2>&1`, `>/dev/null` and `2>/dev/null`. What it accepts is executed as it
//! was parsed here; everything else is a question for a person.

use std::ops::Range;

use polos_toolbox::message::{Connector, Pipeline, Redirect, Stage, Word};

/// The most commands in one line.
const COMMANDS_MAX: usize = 50;

/// Why a line is not a list of plain commands.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Beyond {
    #[error("it contains an unquoted `{0}`")]
    Character(char),
    #[error("it contains `{0}` within double quotes")]
    InQuotes(char),
    #[error("a quote is not closed")]
    OpenQuote,
    #[error("it redirects to or from a file or a process")]
    Redirection,
    #[error("it runs something in the background")]
    Background,
    #[error("it contains a `~` that a shell expands")]
    Tilde,
    #[error("a command is missing around `{0}`")]
    MissingCommand(&'static str),
    #[error("it sets the variable in `{0}`")]
    Assignment(String),
    #[error("the command name `{0}` is not one plain word")]
    Name(String),
    #[error("it uses the shell's `{0}`")]
    ShellWord(String),
    #[error("it has more than {COMMANDS_MAX} commands")]
    TooMany,
    #[error("an option is written with a wildcard: `{0}`")]
    GlobOption(String),
    #[error("there is nothing to run")]
    Empty,
}

/// A line of plain commands, and where its words stand in it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Parsed {
    pub(crate) pipelines: Vec<Pipeline>,
    /// The bytes of each word and redirection, in the order of the line.
    pub(crate) spans: Vec<Range<usize>>,
}

/// Parses a line that [`super::guard::fit`] let through.
pub(crate) fn parse(line: &str) -> Result<Parsed, Beyond> {
    let tokens = lex(line)?;
    let spans = tokens.iter().filter(|token| !token.is_operator()).map(Token::span).collect();
    let pipelines = Assembler::default().assemble(tokens)?;
    Ok(Parsed { pipelines, spans })
}

#[derive(Debug)]
enum Token {
    Word { word: Word, plain: bool, span: Range<usize> },
    Redirect { redirect: Redirect, span: Range<usize> },
    Operator(Operator),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    And,
    Or,
    Pipe,
    Semicolon,
    Newline,
}

impl Operator {
    fn text(self) -> &'static str {
        match self {
            Self::And => "&&",
            Self::Or => "||",
            Self::Pipe => "|",
            Self::Semicolon => ";",
            Self::Newline => "a line end",
        }
    }
}

impl Token {
    fn is_operator(&self) -> bool {
        matches!(self, Self::Operator(_))
    }

    fn span(&self) -> Range<usize> {
        match self {
            Self::Word { span, .. } | Self::Redirect { span, .. } => span.clone(),
            Self::Operator(_) => 0..0,
        }
    }
}

fn lex(line: &str) -> Result<Vec<Token>, Beyond> {
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(c) = line[at..].chars().next() {
        let rest = &line[at..];
        if c == ' ' || c == '\t' {
            at += 1;
        } else if let Some((redirect, length)) = redirect_at(rest) {
            let span = at..at + length;
            at = span.end;
            tokens.push(Token::Redirect { redirect, span });
        } else if let Some((operator, length)) = operator_at(rest)? {
            at += length;
            tokens.push(Token::Operator(operator));
        } else {
            let (word, plain, length) = WordReader::new(rest).read()?;
            let span = at..at + length;
            at = span.end;
            tokens.push(Token::Word { word, plain, span });
        }
    }
    Ok(tokens)
}

/// One of the three redirections, if a blank, an operator or the end follows it.
fn redirect_at(rest: &str) -> Option<(Redirect, usize)> {
    let known = [
        ("2>&1", Redirect::StderrToStdout),
        (">/dev/null", Redirect::StdoutToNull),
        ("2>/dev/null", Redirect::StderrToNull),
    ];
    let (text, redirect) = known.into_iter().find(|(text, _)| rest.starts_with(text))?;
    let next = rest[text.len()..].chars().next();
    matches!(next, None | Some(' ' | '\t' | '\n' | ';' | '|')).then_some((redirect, text.len()))
}

fn operator_at(rest: &str) -> Result<Option<(Operator, usize)>, Beyond> {
    let found = match rest.as_bytes() {
        [b'&', b'&', ..] => (Operator::And, 2),
        [b'&', b'>', ..] | [b'<' | b'>', ..] => return Err(Beyond::Redirection),
        [b'&', ..] => return Err(Beyond::Background),
        [b'|', b'|', ..] => (Operator::Or, 2),
        [b'|', b'&', ..] => return Err(Beyond::Character('&')),
        [b'|', ..] => (Operator::Pipe, 1),
        [b';', b';', ..] => return Err(Beyond::MissingCommand(";")),
        [b';', ..] => (Operator::Semicolon, 1),
        [b'\n', ..] => (Operator::Newline, 1),
        _ => return Ok(None),
    };
    Ok(Some(found))
}

/// Reads one word: bare text, `'…'` and `"…"` joined without blanks.
struct WordReader<'a> {
    rest: &'a str,
    at: usize,
    literal: String,
    glob: String,
    has_glob: bool,
    plain: bool,
    /// The bare character just before, if the last part was bare.
    before: Option<char>,
}

impl<'a> WordReader<'a> {
    fn new(rest: &'a str) -> Self {
        Self {
            rest,
            at: 0,
            literal: String::new(),
            glob: String::new(),
            has_glob: false,
            plain: true,
            before: None,
        }
    }

    fn read(mut self) -> Result<(Word, bool, usize), Beyond> {
        while let Some(c) = self.rest[self.at..].chars().next() {
            match c {
                ' ' | '\t' | '\n' | ';' | '|' => break,
                '&' => {
                    if self.rest[self.at..].starts_with("&&") {
                        break;
                    }
                    return Err(Beyond::Background);
                }
                '<' | '>' => return Err(Beyond::Redirection),
                '\'' | '"' => self.quoted(c)?,
                _ => self.bare(c)?,
            }
        }
        let plain = self.plain && !self.has_glob;
        if !self.has_glob {
            return Ok((Word::Literal(self.literal), plain, self.at));
        }
        if self.literal.starts_with('-') {
            return Err(Beyond::GlobOption(self.literal));
        }
        Ok((Word::Glob { glob: self.glob }, plain, self.at))
    }

    fn quoted(&mut self, quote: char) -> Result<(), Beyond> {
        let body = &self.rest[self.at + 1..];
        let end = body.find(quote).ok_or(Beyond::OpenQuote)?;
        let text = &body[..end];
        if quote == '"'
            && let Some(c) = text.chars().find(|c| matches!(c, '\\' | '$' | '`'))
        {
            return Err(Beyond::InQuotes(c));
        }
        for c in text.chars() {
            self.push_literal(c);
        }
        self.at += end + 2;
        self.plain = false;
        self.before = None;
        Ok(())
    }

    fn bare(&mut self, c: char) -> Result<(), Beyond> {
        match c {
            '*' | '?' => {
                self.has_glob = true;
                self.literal.push(c);
                self.glob.push(c);
            }
            '~' if !self.tilde_is_plain() => return Err(Beyond::Tilde),
            '_' | '-' | '.' | '/' | ',' | ':' | '=' | '+' | '@' | '%' | '~' => self.push_literal(c),
            _ if c.is_alphanumeric() => self.push_literal(c),
            _ => return Err(Beyond::Character(c)),
        }
        self.before = Some(c);
        self.at += c.len_utf8();
        Ok(())
    }

    /// A shell expands `~` at the start of a word, and after `=` and `:`; `HEAD~1` is plain.
    fn tilde_is_plain(&self) -> bool {
        self.before.is_some_and(|c| c.is_ascii_alphanumeric() || c == '~')
    }

    fn push_literal(&mut self, c: char) {
        self.literal.push(c);
        if matches!(c, '*' | '?' | '[' | ']' | '\\') {
            self.glob.push('\\');
        }
        self.glob.push(c);
    }
}

/// Puts tokens together to pipelines.
#[derive(Default)]
struct Assembler {
    pipelines: Vec<Pipeline>,
    after: Connector,
    stages: Vec<Stage>,
    argv: Vec<Word>,
    redirects: Vec<Redirect>,
    commands: usize,
    /// The operator that still needs a command to its right.
    open: Option<Operator>,
}

impl Assembler {
    fn assemble(mut self, tokens: Vec<Token>) -> Result<Vec<Pipeline>, Beyond> {
        for token in tokens {
            match token {
                Token::Word { word, plain, .. } => self.word(word, plain)?,
                Token::Redirect { redirect, .. } if !self.argv.is_empty() => {
                    self.redirects.push(redirect);
                }
                Token::Redirect { .. } => return Err(Beyond::Redirection),
                Token::Operator(operator) => self.operator(operator)?,
            }
        }
        self.operator(Operator::Newline)?;
        if self.pipelines.is_empty() {
            return Err(Beyond::Empty);
        }
        Ok(self.pipelines)
    }

    fn word(&mut self, word: Word, plain: bool) -> Result<(), Beyond> {
        if self.argv.is_empty() {
            check_name(&word, plain)?;
            self.commands += 1;
            if self.commands > COMMANDS_MAX {
                return Err(Beyond::TooMany);
            }
        }
        self.open = None;
        self.argv.push(word);
        Ok(())
    }

    fn operator(&mut self, operator: Operator) -> Result<(), Beyond> {
        if self.argv.is_empty() {
            return self.operator_without_command(operator);
        }
        let argv = std::mem::take(&mut self.argv);
        let redirects = std::mem::take(&mut self.redirects);
        self.stages.push(Stage { argv, redirects });
        if operator != Operator::Pipe {
            let stages = std::mem::take(&mut self.stages);
            self.pipelines.push(Pipeline { after: self.after, stages });
        }
        match operator {
            Operator::And => self.after = Connector::And,
            Operator::Or => self.after = Connector::Or,
            Operator::Semicolon | Operator::Newline => self.after = Connector::Always,
            Operator::Pipe => {}
        }
        let needs_more = matches!(operator, Operator::And | Operator::Or | Operator::Pipe);
        self.open = needs_more.then_some(operator);
        Ok(())
    }

    /// Only line ends may stand without a command before them, and not after `&&`, `||` or `|`.
    fn operator_without_command(&self, operator: Operator) -> Result<(), Beyond> {
        match (self.open, operator) {
            (None, Operator::Newline) => Ok(()),
            (Some(open), _) => Err(Beyond::MissingCommand(open.text())),
            (None, _) => Err(Beyond::MissingCommand(operator.text())),
        }
    }
}

fn check_name(word: &Word, plain: bool) -> Result<(), Beyond> {
    let name = match word {
        Word::Literal(name) => name,
        Word::Glob { glob } => return Err(Beyond::Name(glob.clone())),
    };
    if name.contains('=') {
        return Err(Beyond::Assignment(name.clone()));
    }
    let ordinary =
        |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '/' | '+' | '@');
    if !plain || name.is_empty() || !name.chars().all(ordinary) || name.starts_with('-') {
        return Err(Beyond::Name(name.clone()));
    }
    if SHELL_WORDS.contains(&name.as_str()) {
        return Err(Beyond::ShellWord(name.clone()));
    }
    Ok(())
}

/// Words that mean something to the shell itself: its grammar, and commands that exist only in it.
const SHELL_WORDS: &[&str] = &[
    "if",
    "then",
    "else",
    "elif",
    "fi",
    "for",
    "while",
    "until",
    "do",
    "done",
    "case",
    "esac",
    "select",
    "function",
    "time",
    "coproc",
    "in",
    ".",
    ":",
    "alias",
    "bg",
    "bind",
    "break",
    "builtin",
    "caller",
    "command",
    "compgen",
    "complete",
    "compopt",
    "continue",
    "declare",
    "dirs",
    "disown",
    "enable",
    "eval",
    "exec",
    "exit",
    "export",
    "fc",
    "fg",
    "getopts",
    "hash",
    "help",
    "history",
    "jobs",
    "let",
    "local",
    "logout",
    "mapfile",
    "popd",
    "pushd",
    "read",
    "readarray",
    "readonly",
    "return",
    "set",
    "shift",
    "shopt",
    "source",
    "suspend",
    "times",
    "trap",
    "type",
    "typeset",
    "ulimit",
    "umask",
    "unalias",
    "unset",
    "wait",
];

#[cfg(test)]
mod tests {
    use super::*;
    use Connector::{Always, And, Or};

    fn beyond(line: &str) -> Beyond {
        parse(line).unwrap_err()
    }

    #[test]
    fn words_join_bare_and_quoted_text() {
        let parsed = parse("git commit -m \"fix: it's \"'a \"*\"' x'y'*.rs").unwrap();
        let argv = &parsed.pipelines[0].stages[0].argv;
        assert_eq!(argv[3], Word::Literal("fix: it's a \"*\"".to_owned()));
        assert_eq!(argv[4], Word::Glob { glob: "xy*.rs".to_owned() });
        assert_eq!(
            parse("p '*'?").unwrap().pipelines[0].stages[0].argv[1],
            Word::Glob { glob: "\\*?".to_owned() }
        );
    }

    #[test]
    fn connectors_and_pipes_are_kept() {
        let pipelines = parse("a 2>&1 | b >/dev/null && c || d; e\n\nf;").unwrap().pipelines;
        let connectors: Vec<_> = pipelines.iter().map(|pipeline| pipeline.after).collect();
        assert_eq!(connectors, [Always, And, Or, Always, Always]);
        assert_eq!(pipelines[0].stages[0].redirects, [Redirect::StderrToStdout]);
        assert_eq!(pipelines[0].stages[1].redirects, [Redirect::StdoutToNull]);
    }

    #[test]
    fn each_obstacle_is_named() {
        assert_eq!(beyond("a & b"), Beyond::Background);
        assert_eq!(beyond("a\\ b"), Beyond::Character('\\'));
        assert_eq!(beyond("a \"$b\""), Beyond::InQuotes('$'));
        assert_eq!(beyond("a 'b"), Beyond::OpenQuote);
        assert_eq!(beyond("a > b"), Beyond::Redirection);
        assert_eq!(beyond("a 2>/dev/nullx"), Beyond::Redirection);
        assert_eq!(beyond("a ~b"), Beyond::Tilde);
        assert_eq!(beyond("a x=~"), Beyond::Tilde);
        assert_eq!(beyond("a x:~"), Beyond::Tilde);
        assert_eq!(beyond("a 'x'~"), Beyond::Tilde);
        assert_eq!(beyond("a &&\nb"), Beyond::MissingCommand("&&"));
        assert_eq!(beyond("; a"), Beyond::MissingCommand(";"));
        assert_eq!(beyond("A=b c"), Beyond::Assignment("A=b".to_owned()));
        assert_eq!(beyond("'ls' x"), Beyond::Name("ls".to_owned()));
        assert_eq!(beyond("l*"), Beyond::Name("l*".to_owned()));
        assert_eq!(beyond("a -*"), Beyond::GlobOption("-*".to_owned()));
        assert_eq!(beyond("exec a"), Beyond::ShellWord("exec".to_owned()));
        assert_eq!(beyond(" \n"), Beyond::Empty);
        assert_eq!(beyond(&"a;".repeat(51)), Beyond::TooMany);
        assert!(parse(&"a;".repeat(50)).is_ok());
    }
}
