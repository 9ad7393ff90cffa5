//! What is asked of a model, in terms that no provider owns.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::error::Error;
use crate::message::{Block, Message, Role};
use crate::object::Object;

/// Is one call of a model.
///
/// The bytes sent are a function of this value, but for `agent` and `attempt`, which stay here.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Request {
    pub model: String,
    /// The static instructions; what changes from turn to turn belongs into the last message.
    pub system: Vec<SystemBlock>,
    pub messages: Vec<Message>,
    /// Sent sorted by name.
    pub tools: Vec<ToolSpec>,
    pub tool_choice: ToolChoice,
    /// Forbids more than one tool call in a reply.
    pub single_tool: bool,
    /// Where a provider demands a value, the model's own default stands in (see [`crate::model_facts`]).
    pub max_tokens: Option<u32>,
    pub temperature: Option<f64>,
    pub thinking: Thinking,
    pub effort: Option<Effort>,
    pub stop_sequences: Vec<String>,
    /// A JSON Schema that the reply's text must follow.
    pub output_schema: Option<Value>,
    pub cache: CacheFor,
    /// Groups requests that share a prefix (OpenAI's `prompt_cache_key`); sent only when set.
    pub cache_key: Option<String>,
    /// Further top-level fields of the provider's body. One that this crate sets itself is refused.
    pub extra: Map<String, Value>,
    /// Never sent: who asks. `scripted` picks replies by it, the ledger records it.
    pub agent: Option<String>,
    /// Never sent: how often this same request was tried before. `scripted` ends simulated errors by it.
    pub attempt: u32,
}

impl Request {
    /// Starts a request with one user message.
    pub fn new(model: impl Into<String>, text: impl Into<String>) -> Self {
        Self { model: model.into(), messages: vec![Message::user(text)], ..Self::default() }
    }

    /// Counts the assistant turns so far.
    pub fn turns(&self) -> usize {
        self.messages.iter().filter(|message| message.role == Role::Assistant).count()
    }

    /// Checks what every provider would refuse: no message, a tool call without its result in the
    /// very next turn, a result without its call, two tools of one name.
    ///
    /// An assistant turn may stand last: a paused turn ([`crate::StopReason::PauseTurn`]) goes on
    /// that way.
    pub fn validate(&self) -> Result<(), Error> {
        if self.model.is_empty() {
            return Err(Error::invalid("the request names no model"));
        }
        if self.messages.is_empty() {
            return Err(Error::invalid("the request has no messages"));
        }
        self.validate_tools()?;
        self.validate_results()
    }

    fn validate_tools(&self) -> Result<(), Error> {
        let mut names: Vec<&str> = self.tools.iter().map(|tool| tool.name.as_str()).collect();
        names.sort_unstable();
        match names.windows(2).find(|pair| pair[0] == pair[1]) {
            Some(pair) => Err(Error::invalid(format!("tool `{}` is declared twice", pair[0]))),
            None => Ok(()),
        }
    }

    fn validate_results(&self) -> Result<(), Error> {
        let mut open: Vec<&str> = Vec::new();
        for (index, message) in self.messages.iter().enumerate() {
            let asked = std::mem::take(&mut open);
            let mut answered: Vec<&str> = Vec::new();
            for block in &message.content {
                match block {
                    Block::ToolUse { id, .. } if message.role == Role::Assistant => open.push(id),
                    Block::ToolResult { tool_use_id, .. } => answered.push(tool_use_id),
                    _ => {}
                }
            }
            if let Some(id) = asked.iter().find(|id| !answered.contains(id)) {
                return Err(Error::invalid(format!(
                    "tool call `{id}` has no result in message {index}"
                )));
            }
            if let Some(id) = answered.iter().find(|id| !asked.contains(id)) {
                return Err(Error::invalid(format!(
                    "message {index} answers tool call `{id}`, which the turn before did not make"
                )));
            }
        }
        match open.first() {
            Some(id) => Err(Error::invalid(format!("tool call `{id}` at the end has no result"))),
            None => Ok(()),
        }
    }
}

/// Is one part of the static instructions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SystemBlock {
    pub text: String,
}

impl<T: Into<String>> From<T> for SystemBlock {
    fn from(text: T) -> Self {
        Self { text: text.into() }
    }
}

/// Declares a tool to the model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ToolSpec {
    pub name: String,
    pub description: String,
    /// A JSON Schema of type object; sent with sorted keys.
    pub input_schema: Value,
}

/// Says whether the model may, must or must not call a tool.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ToolChoice {
    #[default]
    Auto,
    Any,
    None,
    Tool(String),
}

/// Asks for reasoning before the answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Thinking {
    /// Says nothing about it: the model's own default.
    #[default]
    Default,
    Off,
    /// The model decides how much.
    Adaptive,
    /// At most so many tokens, for models that take a budget.
    Budget(u32),
}

/// Says how hard to try.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effort {
    Low,
    Medium,
    High,
    Xhigh,
    Max,
}

/// Says how long the provider should keep the prompt's prefix, where that is ours to ask.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CacheFor {
    Off,
    #[default]
    FiveMinutes,
    /// For conversations that wait on a person.
    OneHour,
}

impl Effort {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Xhigh => "xhigh",
            Self::Max => "max",
        }
    }
}

/// Appends the caller's own fields to a body.
pub(crate) fn with_extra(mut body: Object, extra: &Map<String, Value>) -> Result<Object, Error> {
    let mut names: Vec<&String> = extra.keys().collect();
    names.sort_unstable();
    for name in names {
        if body.has(name) {
            return Err(Error::invalid(format!("`extra.{name}` is already set by the request")));
        }
        body = body.with_canonical(name, &extra[name]);
    }
    Ok(body)
}
