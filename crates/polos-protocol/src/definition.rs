//! What a worker can run, and the queues in which runs wait.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a definition is.
#[derive(
    Debug,
    Clone,
    Copy,
    Default,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum DefinitionKind {
    /// Plain code.
    #[default]
    Workflow,
    /// A model with tools.
    Agent,
    /// Something a model may call.
    Tool,
}

impl DefinitionKind {
    /// The name under which it is persisted and sent.
    pub fn name(self) -> &'static str {
        match self {
            Self::Workflow => "workflow",
            Self::Agent => "agent",
            Self::Tool => "tool",
        }
    }

    /// Reads a persisted name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Workflow, Self::Agent, Self::Tool].into_iter().find(|kind| kind.name() == name)
    }
}

/// What happens when an error leaves the code uncaught. By default a root run blocks and a child
/// fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnError {
    /// The run blocks and needs a person.
    Block,
    /// The run fails.
    Fail,
}

/// A workflow, agent or tool that a worker has registered.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Definition {
    /// Its name, unique in the namespace.
    pub name: String,
    /// What it is.
    #[serde(default)]
    pub kind: DefinitionKind,
    /// One line for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The schema of its input.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<serde_json::Value>,
    /// The schema of its output.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<serde_json::Value>,
    /// The queue of its runs unless they say otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue: Option<String>,
    /// What happens on an uncaught error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_error: Option<OnError>,
    /// The longest a step may take, for the server's own watch; the protocol's default if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step_timeout_ms: Option<u64>,
    /// What a list may show besides: an agent's provider, model and tools.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub info: Option<serde_json::Value>,
}

/// A queue: how many runs may go at once, in all and per concurrency key.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct QueueConfig {
    /// Its name, unique in the namespace.
    pub name: String,
    /// How many runs may run at once; no limit if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<u32>,
    /// How many runs of one concurrency key may run at once; no limit if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrency_per_key: Option<u32>,
    /// True if runs keep their slot while they wait.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub hold: bool,
    /// True if nothing new starts from it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub paused: bool,
}
