//! The file of replies: TOML or JSON, read strictly, since a misspelt condition would never match.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::caps;
use crate::error::{Error, ErrorKind};
use crate::response::{StopReason, Usage};

const HINT: &str = "a script is `script = \"a label\"` and `[[reply]]` tables; see the guide";

/// Is a script, read and checked.
#[derive(Clone, Debug)]
pub struct Script {
    pub(crate) label: String,
    pub(crate) replies: Vec<Reply>,
}

/// Is a reply with its conditions; all must hold.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    pub(crate) agent: Option<String>,
    pub(crate) model: Option<String>,
    /// The number of assistant turns so far; none means any.
    pub(crate) turn: Option<usize>,
    pub(crate) expect: Vec<String>,
    pub(crate) expect_not: Vec<String>,
    pub(crate) seen: Vec<String>,
    pub(crate) unseen: Vec<String>,
    pub(crate) thinking: Option<String>,
    pub(crate) text: Option<String>,
    pub(crate) tools: Vec<Call>,
    pub(crate) stop: StopReason,
    pub(crate) usage: Option<Usage>,
    pub(crate) delay: Duration,
    pub(crate) token_pause: Duration,
    pub(crate) error: Option<Failing>,
}

/// Is a tool call as a script writes it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Call {
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) input: Map<String, Value>,
    pub(crate) id: Option<String>,
}

/// Is a simulated failure: the first `attempts` tries of a request fail, by [`crate::Request::attempt`].
#[derive(Clone, Debug)]
pub(crate) struct Failing {
    pub(crate) kind: ErrorKind,
    pub(crate) retry_after: Option<Duration>,
    pub(crate) attempts: u32,
}

impl Script {
    /// Reads a script from a file; `.json` is JSON, everything else TOML.
    pub fn load(path: &Path) -> Result<Self, Error> {
        let name = path.display();
        let mut text = String::new();
        let read = File::open(path).and_then(|file| {
            file.take(caps::SCRIPT_BYTES_MAX + 1).read_to_string(&mut text)?;
            Ok(())
        });
        read.map_err(|error| Error::config(format!("cannot read script `{name}`: {error}"), HINT))?;
        if text.len() as u64 > caps::SCRIPT_BYTES_MAX {
            let max = caps::SCRIPT_BYTES_MAX;
            return Err(Error::config(format!("script `{name}` has more than {max} bytes"), HINT));
        }
        let is_json = path.extension().is_some_and(|extension| extension == "json");
        if is_json { Self::from_json(&text) } else { Self::from_toml(&text) }
    }

    /// Reads a script from TOML.
    pub fn from_toml(text: &str) -> Result<Self, Error> {
        toml::from_str(text).map_err(|error| unreadable(&error)).and_then(ScriptFile::check)
    }

    /// Reads a script from JSON.
    pub fn from_json(text: &str) -> Result<Self, Error> {
        serde_json::from_str(text).map_err(|error| unreadable(&error)).and_then(ScriptFile::check)
    }

    /// Returns what the script says it is.
    pub fn label(&self) -> &str {
        &self.label
    }
}

fn unreadable(error: &dyn std::fmt::Display) -> Error {
    Error::config(format!("the script cannot be read: {error}"), HINT)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ScriptFile {
    script: String,
    /// Pauses for replies that name none.
    #[serde(default)]
    delay_ms: u64,
    #[serde(default)]
    token_ms: u64,
    #[serde(default)]
    reply: Vec<ReplyFile>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ReplyFile {
    agent: Option<String>,
    model: Option<String>,
    turn: Option<TurnFile>,
    /// This reply is an alternative for the turn of the one before it.
    #[serde(default)]
    same_turn: bool,
    #[serde(default)]
    expect: Words,
    #[serde(default)]
    expect_not: Words,
    #[serde(default)]
    seen: Words,
    #[serde(default)]
    unseen: Words,
    thinking: Option<String>,
    text: Option<String>,
    #[serde(default)]
    tools: Vec<Call>,
    stop: Option<String>,
    usage: Option<UsageFile>,
    delay_ms: Option<u64>,
    token_ms: Option<u64>,
    error: Option<FailingFile>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum TurnFile {
    Number(usize),
    Word(String),
}

#[derive(Default, Deserialize)]
#[serde(untagged)]
enum Words {
    #[default]
    None,
    One(String),
    Many(Vec<String>),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct UsageFile {
    #[serde(default)]
    input_uncached: u64,
    #[serde(default)]
    cache_read: u64,
    #[serde(default)]
    cache_write_short: u64,
    #[serde(default)]
    cache_write_long: u64,
    #[serde(default)]
    output: u64,
    #[serde(default)]
    reasoning: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FailingFile {
    kind: String,
    retry_after_ms: Option<u64>,
    attempts: Option<u32>,
}

impl ScriptFile {
    fn check(self) -> Result<Script, Error> {
        let mut replies: Vec<Reply> = Vec::new();
        for (number, reply) in (1..).zip(self.reply) {
            let before = replies.iter().rfind(|r| r.agent == reply.agent && r.turn.is_some());
            let before = before.and_then(|reply| reply.turn);
            let turn = reply.turn(before).map_err(|message| at(number, &message))?;
            let (delay, token) = (self.delay_ms, self.token_ms);
            replies.push(reply.check(turn, delay, token).map_err(|message| at(number, &message))?);
        }
        if replies.is_empty() {
            return Err(Error::config("the script has no `[[reply]]`", HINT));
        }
        Ok(Script { label: self.script, replies })
    }
}

fn at(number: usize, message: &str) -> Error {
    Error::config(format!("reply {number} of the script: {message}"), HINT)
}

impl ReplyFile {
    /// The turn it says, or the one after that of the agent's reply before it.
    fn turn(&self, before: Option<usize>) -> Result<Option<usize>, String> {
        match (&self.turn, self.same_turn) {
            (Some(_), true) => Err("`turn` and `same_turn` exclude each other".into()),
            (Some(TurnFile::Number(turn)), _) => Ok(Some(*turn)),
            (Some(TurnFile::Word(word)), _) if word == "any" => Ok(None),
            (Some(TurnFile::Word(word)), _) => {
                Err(format!("`turn` is a number or \"any\", not `{word}`"))
            }
            (None, true) if before.is_none() => Err("`same_turn` needs a reply before it".into()),
            (None, true) => Ok(before),
            (None, false) => Ok(Some(before.map_or(0, |turn| turn + 1))),
        }
    }

    fn check(self, turn: Option<usize>, delay_ms: u64, token_ms: u64) -> Result<Reply, String> {
        if self.text.is_none() && self.tools.is_empty() && self.error.is_none() {
            return Err("it has neither `text` nor `tools` nor `error`".into());
        }
        let default_stop = if self.tools.is_empty() { "end_turn" } else { "tool_use" };
        Ok(Reply {
            turn,
            expect: self.expect.into_list(),
            expect_not: self.expect_not.into_list(),
            seen: self.seen.into_list(),
            unseen: self.unseen.into_list(),
            stop: StopReason::from_word(self.stop.as_deref().unwrap_or(default_stop)),
            usage: self.usage.map(UsageFile::into_usage),
            delay: Duration::from_millis(self.delay_ms.unwrap_or(delay_ms)),
            token_pause: Duration::from_millis(self.token_ms.unwrap_or(token_ms)),
            error: self.error.map(FailingFile::check).transpose()?,
            agent: self.agent,
            model: self.model,
            thinking: self.thinking,
            text: self.text,
            tools: self.tools,
        })
    }
}

impl Words {
    fn into_list(self) -> Vec<String> {
        match self {
            Self::None => Vec::new(),
            Self::One(word) => vec![word],
            Self::Many(words) => words,
        }
    }
}

impl UsageFile {
    fn into_usage(self) -> Usage {
        Usage {
            input_uncached: self.input_uncached,
            cache_read: self.cache_read,
            cache_write_short: self.cache_write_short,
            cache_write_long: self.cache_write_long,
            output: self.output,
            reasoning: self.reasoning,
        }
    }
}

impl FailingFile {
    fn check(self) -> Result<Failing, String> {
        let kind = ErrorKind::from_code(&self.kind)
            .ok_or_else(|| format!("`{}` is no kind of error", self.kind))?;
        Ok(Failing {
            kind,
            retry_after: self.retry_after_ms.map(Duration::from_millis),
            attempts: self.attempts.unwrap_or(u32::MAX),
        })
    }
}
