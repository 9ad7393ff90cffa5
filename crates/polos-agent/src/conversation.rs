//! What goes into an agent and what comes out of it, and the request made of both on each turn.
//!
//! The conversation is never recorded: it is what input, recorded replies and recorded results add
//! up to. So nothing here may depend on anything else, and requests only ever grow at their end.

use polos_llm::{Block, Message, Request, Role, SystemBlock, ToolChoice, ToolSpec, Usage};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::agent::Agent;

/// What an agent is given: a text, `{"prompt": …}` or `{"messages": […]}`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(from = "Given")]
pub struct Input {
    /// What the user says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt: Option<String>,
    /// What was said before, oldest first; the last must be the user's, unless there is a prompt.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub messages: Vec<Message>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Given {
    Text(String),
    Fields {
        #[serde(default)]
        prompt: Option<String>,
        #[serde(default)]
        messages: Vec<GivenMessage>,
    },
}

#[derive(Deserialize)]
struct GivenMessage {
    role: Role,
    content: GivenContent,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum GivenContent {
    Text(String),
    Blocks(Vec<Block>),
}

impl From<Given> for Input {
    fn from(given: Given) -> Self {
        match given {
            Given::Text(prompt) => Self { prompt: Some(prompt), messages: Vec::new() },
            Given::Fields { prompt, messages } => {
                Self { prompt, messages: messages.into_iter().map(GivenMessage::read).collect() }
            }
        }
    }
}

impl GivenMessage {
    fn read(self) -> Message {
        let content = match self.content {
            GivenContent::Text(text) => vec![Block::text(text)],
            GivenContent::Blocks(blocks) => blocks,
        };
        Message { role: self.role, content }
    }
}

impl Input {
    /// An input of one text.
    pub fn prompt(text: impl Into<String>) -> Self {
        Self { prompt: Some(text.into()), messages: Vec::new() }
    }
}

/// What an agent gives back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Output {
    /// The text of the last reply.
    pub text: String,
    /// The answer itself, where the agent declares a schema for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<Value>,
    /// Why the model stopped.
    pub stop: String,
    /// How many replies it took.
    pub turns: u32,
    /// The tokens of all replies.
    pub usage: Usage,
    /// What they cost, in millionths of a dollar; absent if a model's price is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost_micros: Option<u64>,
}

/// The conversation so far.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Conversation {
    messages: Vec<Message>,
}

impl Conversation {
    /// Begins with what was said before, and what is said now.
    pub(crate) fn new(history: Vec<Message>, input: Input) -> Self {
        let mut conversation = Self::default();
        let prompt = input.prompt.map(Message::user);
        for message in history.into_iter().chain(input.messages).chain(prompt) {
            conversation.push(message);
        }
        conversation
    }

    /// Adds a turn; two turns of one speaker become one, as providers want it.
    pub(crate) fn push(&mut self, message: Message) {
        match self.messages.last_mut() {
            Some(last) if last.role == message.role => last.content.extend(message.content),
            _ => self.messages.push(message),
        }
    }

    /// True if it is the model's turn.
    pub(crate) fn awaits_reply(&self) -> bool {
        self.messages.last().is_some_and(|message| message.role == Role::User)
    }

    /// The request for the next reply.
    pub(crate) fn request(&self, agent: &Agent, model: &str, tools: &[ToolSpec]) -> Request {
        Request {
            model: model.to_owned(),
            system: system(agent),
            messages: self.messages.clone(),
            tools: tools.to_vec(),
            tool_choice: ToolChoice::Auto,
            max_tokens: agent.options.max_tokens,
            temperature: agent.options.temperature,
            thinking: agent.options.thinking,
            effort: agent.options.effort,
            output_schema: agent.output.clone(),
            cache: agent.options.cache,
            agent: Some(agent.id.clone()),
            ..Request::default()
        }
    }
}

fn system(agent: &Agent) -> Vec<SystemBlock> {
    if agent.system.is_empty() { Vec::new() } else { vec![agent.system.as_str().into()] }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn texts(input: Value) -> Vec<(Role, String)> {
        let input: Input = serde_json::from_value(input).unwrap();
        let conversation = Conversation::new(Vec::new(), input);
        conversation.messages.iter().map(|message| (message.role, message.text())).collect()
    }

    #[test]
    fn takes_texts_prompts_and_messages() {
        let one = vec![(Role::User, "hi".to_owned())];
        assert_eq!(texts(json!("hi")), one);
        assert_eq!(texts(json!({"prompt": "hi"})), one);
        let said = json!({"messages": [
            {"role": "user", "content": "a"},
            {"role": "assistant", "content": [{"type": "text", "text": "b"}]},
        ], "prompt": "c"});
        let roles: Vec<Role> = texts(said).into_iter().map(|(role, _)| role).collect();
        assert_eq!(roles, [Role::User, Role::Assistant, Role::User]);
    }

    #[test]
    fn a_request_only_grows_at_its_end() {
        let agent = Agent::new("a").system("s");
        let mut conversation = Conversation::new(Vec::new(), Input::prompt("x"));
        let first = conversation.request(&agent, "m", &[]);
        conversation.push(Message::assistant(vec![Block::text("y")]));
        assert!(!conversation.awaits_reply());
        conversation.push(Message::user("z"));
        let second = conversation.request(&agent, "m", &[]);
        assert_eq!(second.messages[..1], first.messages[..]);
        assert_eq!((second.system, second.tools), (first.system, first.tools));
    }
}
