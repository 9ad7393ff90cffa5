//! Agents that come with the input of their run: workers in other languages declare them, and the
//! native worker runs the loop. The agent's tools run where they were declared, as child runs.

use std::sync::Arc;

use polos_sdk::{Client, Ctx, Definition, DefinitionKind, Failure, Result};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::agent::Agent;
use crate::conversation::{Input, Output};
use crate::history;
use crate::reach;
use crate::run;
use crate::tool::Toolset;
use crate::work::{Shop, Work};

/// The name of the workflow that runs a guest. Sent; it never changes its meaning.
pub const NAME: &str = "polos.agent";

/// How far a worker trusts those who may start runs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Trust {
    /// Their agents stay in boxes of their own.
    #[default]
    Boxed,
    /// Their agents may reach this machine, as the worker's own may: it is theirs.
    Owner,
}

/// What the workflow is given.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Given {
    /// The agent, as its file would have it.
    agent: Agent,
    /// Tools of the worker that declared it, which `agent.tools` may name.
    #[serde(default)]
    tools: Vec<RemoteTool>,
    /// What the agent is told.
    input: Input,
}

/// A tool that another worker runs: each call is a child run of the definition of this name.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RemoteTool {
    /// The name that the model calls, and the definition's.
    pub(crate) name: String,
    /// What the model is told of it.
    pub(crate) description: String,
    /// The JSON Schema of its arguments.
    pub(crate) input_schema: Value,
}

/// What the server is told of the workflow.
pub(crate) fn definition(step_timeout_ms: u64) -> Definition {
    Definition {
        name: NAME.to_owned(),
        kind: DefinitionKind::Workflow,
        description: Some("Runs an agent that another worker declares.".to_owned()),
        step_timeout_ms: Some(step_timeout_ms),
        info: Some(json!({ "tools": "declared elsewhere" })),
        ..Definition::default()
    }
}

/// Runs a guest to its answer.
pub(crate) async fn run(
    ctx: Ctx,
    shop: Arc<Shop>,
    client: Option<Client>,
    (trust, given): (Trust, Given),
) -> Result<Output> {
    let Given { agent, tools, input } = given;
    agent.check().map_err(|invalid| refused(&invalid.to_string()))?;
    if let (Trust::Boxed, Some(setting)) = (trust, reach::beyond_its_box(&agent)) {
        return Err(refused(&format!(
            "`{setting}` reaches the machine of the native worker, which takes that only from agent \
             files of its own\nhint: declare the agent there, or start the worker with \
             `--trust-declared-agents`"
        )));
    }
    let toolset = Toolset::of(&agent, &[], &tools, |_| None)
        .map_err(|message| refused(&format!("`tools` {message}")))?;
    let work = Work::new(shop, Arc::new(agent), Arc::new(toolset), &ctx)
        .map_err(|error| refused(&error.to_string()))?;
    let history = history::of(&ctx, client.as_ref()).await?;
    run::run(ctx, Arc::new(work), history, input).await
}

/// A definition that cannot work does not get better by trying again.
fn refused(message: &str) -> polos_sdk::Error {
    Failure::new("invalid_agent", message).terminal().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_is_what_other_sdks_send() {
        let given: Given = serde_json::from_value(json!({
            "agent": {"id": "a", "provider": "scripted", "script": "/x.toml", "tools": ["weather"]},
            "tools": [{"name": "weather", "description": "Tells it", "input_schema": {}}],
            "input": "hello",
        }))
        .unwrap();
        assert_eq!(given.agent.id, "a");
        assert_eq!(given.input, Input::prompt("hello"));
        assert!(Toolset::of(&given.agent, &[], &given.tools, |_| None).is_ok());
        let unknown = json!({"agent": {"id": "a"}, "input": "x", "more": 1});
        assert!(serde_json::from_value::<Given>(unknown).is_err());
    }
}
