//! `polos agents`: the agents that connected workers can run.

use super::definitions;
use crate::context::Context;
use crate::crew::Wanted;
use crate::exit::Exit;
use crate::project::Project;
use crate::show::table::Table;
use anyhow::Result;
use clap::Subcommand;
use polos_protocol::DefinitionKind;
use polos_protocol::rest::DefinitionStatus;
use serde_json::Value;

/// List agents
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List the agents that connected workers can run
    ///
    /// Where no server runs, these are the agents of the project's own files.
    List,
}

impl Command {
    pub(crate) async fn run(self, context: &Context) -> Result<Exit> {
        let Self::List = self;
        let has_files = Project::find(&std::env::current_dir()?)?.agents().is_dir();
        let client = if has_files {
            context.client_with_crew(Wanted::Agents).await?
        } else {
            context.client().await?
        };
        definitions::list(context, &client, |kind| kind == DefinitionKind::Agent, table).await?;
        Ok(Exit::Done)
    }
}

fn table(agents: &[DefinitionStatus]) -> Table {
    let mut table = Table::new(&["NAME", "MODEL", "TOOLS", "WORKERS", "ABOUT"]);
    for status in agents {
        let definition = &status.definition;
        let info = definition.info.as_ref().unwrap_or(&Value::Null);
        table.push(vec![
            definition.name.as_str().into(),
            model(info).into(),
            tools(info).into(),
            status.workers.to_string().into(),
            definition.description.as_deref().unwrap_or_default().into(),
        ]);
    }
    table
}

/// What answers, as the agent's worker tells it.
fn model(info: &Value) -> String {
    let names = [&info["provider"], &info["model"]];
    let known: Vec<_> = names.into_iter().filter_map(Value::as_str).collect();
    if known.is_empty() { "by the environment".to_owned() } else { known.join(" ") }
}

fn tools(info: &Value) -> String {
    let names = info["tools"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let names: Vec<_> = names.collect();
    if names.is_empty() { "none".to_owned() } else { names.join(" ") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_agent_is_told_by_its_model_and_tools() {
        let info = json!({"provider": "anthropic", "model": "m", "tools": ["exec", "read"]});
        assert_eq!(
            (model(&info), tools(&info)),
            ("anthropic m".to_owned(), "exec read".to_owned())
        );
        let bare = json!({"provider": null, "model": null, "tools": []});
        assert_eq!((model(&bare), tools(&bare)), ("by the environment".into(), "none".into()));
    }
}
