//! What a model is told it may call, and tools of the user's own.

use std::fmt;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use polos_llm::ToolSpec;
use polos_sandbox::toolbox::tools;
use polos_sdk::{StepContext, StepError};
use serde_json::{Value, json};

use crate::agent::{Agent, SANDBOX_TOOLS};
use crate::guest::RemoteTool;

/// The name of the tool that asks the user.
pub(crate) const ASK_USER: &str = "ask_user";
/// What stands before the name of an agent that is called as a tool.
const AGENT_PREFIX: &str = "agent:";

type Body =
    Arc<dyn Fn(Value, StepContext) -> BoxFuture<'static, Result<Value, StepError>> + Send + Sync>;

/// A tool that the worker itself carries out: each call is a step of the agent's run.
#[derive(Clone)]
pub struct Tool {
    pub(crate) name: String,
    pub(crate) description: String,
    pub(crate) input_schema: Value,
    pub(crate) is_once: bool,
    pub(crate) body: Body,
}

impl fmt::Debug for Tool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tool").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Tool {
    /// A tool made of a closure. Its arguments are what the model wrote, checked by nobody but the
    /// closure; its value (a text, or JSON) is what the model reads. An error is told to the model,
    /// once the step's retries are used up.
    pub fn new<F, Fut>(
        name: impl Into<String>,
        description: impl Into<String>,
        input_schema: Value,
        run: F,
    ) -> Self
    where
        F: Fn(Value, StepContext) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Value, StepError>> + Send + 'static,
    {
        Self {
            name: name.into(),
            description: description.into(),
            input_schema,
            is_once: false,
            body: Arc::new(move |arguments, step| Box::pin(run(arguments, step))),
        }
    }

    /// Never repeats a call blindly: one whose outcome nobody knows waits for a person.
    #[must_use]
    pub fn once(mut self) -> Self {
        self.is_once = true;
        self
    }
}

/// What a name that the model may call leads to.
#[derive(Debug, Clone)]
pub(crate) enum Way {
    /// One of the six tools of the sandbox.
    Sandbox,
    AskUser,
    /// A child run of another agent.
    Agent(String),
    Own(Tool),
    /// A child run of a tool that another worker has.
    Remote,
}

/// The tools of one agent: what the model is told, and where each leads.
#[derive(Debug, Clone)]
pub(crate) struct Toolset {
    pub(crate) specs: Vec<ToolSpec>,
    ways: Vec<(String, Way)>,
}

impl Toolset {
    /// The tools that an agent names; `describe` says what another agent does.
    pub(crate) fn of(
        agent: &Agent,
        own: &[Tool],
        remote: &[RemoteTool],
        describe: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, String> {
        let mut set = Self { specs: Vec::new(), ways: Vec::new() };
        for name in agent.tool_names() {
            if let Some(other) = name.strip_prefix(AGENT_PREFIX) {
                let does = describe(other);
                let description = does.unwrap_or_else(|| format!("Asks the agent `{other}`."));
                set.add(spec(other, description, prompt_schema()), Way::Agent(other.to_owned()));
            } else if SANDBOX_TOOLS.contains(&name) {
                let told = tools::tools().into_iter().filter(|tool| tool.name == name);
                told.for_each(|tool| {
                    let spec = spec(tool.name, tool.description.to_owned(), tool.input_schema);
                    set.add(spec, Way::Sandbox);
                });
            } else if name == ASK_USER {
                set.add(
                    spec(ASK_USER, ASK_USER_DESCRIPTION.to_owned(), ask_schema()),
                    Way::AskUser,
                );
            } else if let Some(tool) = remote.iter().find(|tool| tool.name == name) {
                let schema = tool.input_schema.clone();
                set.add(spec(name, tool.description.clone(), schema), Way::Remote);
            } else {
                let tool = own.iter().find(|tool| tool.name == name).ok_or_else(|| {
                    let known: Vec<&str> = own.iter().map(|tool| tool.name.as_str()).collect();
                    format!("names `{name}`, which the worker does not register (it has {known:?})")
                })?;
                let spec = spec(name, tool.description.clone(), tool.input_schema.clone());
                set.add(spec, Way::Own(tool.clone()));
            }
        }
        Ok(set)
    }

    fn add(&mut self, spec: ToolSpec, way: Way) {
        self.ways.push((spec.name.clone(), way));
        self.specs.push(spec);
    }

    /// Where a name leads, if the agent has it.
    pub(crate) fn way(&self, name: &str) -> Option<&Way> {
        self.ways.iter().find(|(known, _)| known == name).map(|(_, way)| way)
    }

    /// The names, for the model that calls something else.
    pub(crate) fn names(&self) -> String {
        let names: Vec<&str> = self.ways.iter().map(|(name, _)| name.as_str()).collect();
        if names.is_empty() { "there are none".to_owned() } else { names.join(", ") }
    }
}

fn spec(name: &str, description: String, input_schema: Value) -> ToolSpec {
    ToolSpec { name: name.to_owned(), description, input_schema }
}

const ASK_USER_DESCRIPTION: &str = "\
Asks the user a question and waits for the answer, however long it takes. Use it when you cannot \
go on without a decision or a fact that only the user has; ask one thing at a time.";

fn prompt_schema() -> Value {
    json!({
        "type": "object",
        "properties": {
            "prompt": {"type": "string", "description": "What it is to do, with all it needs to know"},
        },
        "required": ["prompt"],
        "additionalProperties": false,
    })
}

fn ask_schema() -> Value {
    json!({
        "type": "object",
        "properties": {
            "question": {"type": "string", "description": "The question, in one or two sentences"},
            "options": {
                "type": "array",
                "items": {"type": "string"},
                "description": "Answers to choose from, if there are only some",
            },
        },
        "required": ["question"],
        "additionalProperties": false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_to_what_does_them() {
        let own = Tool::new("weather", "Tells it", json!({}), |_, _| async { Ok(json!("sun")) });
        let agent = Agent::new("a").tools(["read", "ask_user", "agent:helper", "weather"]);
        let set = Toolset::of(&agent, &[own], &[], |name| Some(format!("about {name}"))).unwrap();
        assert!(matches!(set.way("read"), Some(Way::Sandbox)));
        assert!(matches!(set.way("helper"), Some(Way::Agent(name)) if name == "helper"));
        assert!(matches!(set.way("weather"), Some(Way::Own(_))));
        assert!(set.way("exec").is_none());
        assert_eq!(set.names(), "read, ask_user, helper, weather");
        assert_eq!(set.specs[2].description, "about helper");
        let refused =
            Toolset::of(&Agent::new("a").tools(["nope"]), &[], &[], |_| None).unwrap_err();
        assert!(refused.starts_with("names `nope`, which the worker does not register"));
    }
}
