//! `polos run`: starts a run and watches it; with an agent and a terminal, a conversation.

mod talk_with;

use crate::context::Context;
use crate::exit::{Exit, Problem};
use crate::show::moment;
use crate::watch::{self, Ended, Manner};
use crate::{input, prompt, talk};
use anyhow::Result;
use polos_protocol::record::RunOptions;
use polos_protocol::rest::{StartRequest, StartResponse};
use polos_protocol::run::RunResult;
use polos_protocol::{DefinitionKind, Json, RunId, SessionId, State};
use polos_sdk::client::Client;
use std::path::Path;

/// Start a run and watch it: it streams, asks for approvals here, and ends with its output
///
/// An agent is asked with a prompt; without one, a conversation begins at the terminal. A workflow
/// takes `--input`. Ctrl-C stops the watching, not the run.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A workflow, agent or tool, by name; or an agent's file
    name: String,
    /// What to ask an agent
    #[arg(conflicts_with = "input")]
    prompt: Option<String>,
    /// The input: JSON, `@FILE`, or `-` for standard input
    #[arg(long, value_name = "JSON")]
    input: Option<String>,
    /// Start once under this key, however often it is asked for
    #[arg(long)]
    key: Option<String>,
    /// Print the run's id and do not wait
    #[arg(long, conflicts_with = "wait")]
    detach: bool,
    /// Wait for the end, and tell nothing on the way
    #[arg(long)]
    wait: bool,
    /// Do not ask here what the run asks of people
    #[arg(long)]
    no_ask: bool,
    #[command(flatten)]
    how: How,
}

/// How the run is to run.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "How it runs")]
pub(crate) struct How {
    /// The queue; by default the definition's
    #[arg(long)]
    queue: Option<String>,
    /// The concurrency key within the queue
    #[arg(long, value_name = "KEY")]
    concurrency_key: Option<String>,
    /// Higher goes first
    #[arg(long, default_value_t = 0, allow_negative_numbers = true)]
    priority: i32,
    /// A label, for filters; may be repeated
    #[arg(long, value_name = "NAME=VALUE", value_parser = input::label)]
    label: Vec<(String, String)>,
    /// The conversation that it belongs to
    #[arg(long)]
    session: Option<SessionId>,
    /// Fail if it takes longer, not counting the time spent waiting for people
    #[arg(long, value_name = "DURATION", value_parser = moment::parse_duration)]
    timeout: Option<u64>,
    /// Keep the run to the build that starts it
    #[arg(long)]
    pin: bool,
}

impl How {
    fn to_rest(&self) -> RunOptions {
        RunOptions {
            queue: self.queue.clone(),
            concurrency_key: self.concurrency_key.clone(),
            priority: self.priority,
            labels: self.label.iter().cloned().collect(),
            session: self.session,
            timeout_ms: self.timeout,
            pin: self.pin,
            ..RunOptions::default()
        }
    }
}

pub(crate) async fn run(args: Args, context: &Context) -> Result<Exit> {
    let client = context.client()?;
    let kind = kind_of(&client, &args.name).await?;
    let wants_talk = kind == Some(DefinitionKind::Agent)
        && args.prompt.is_none()
        && args.input.is_none()
        && !args.detach;
    if wants_talk && prompt::is_possible() {
        return Box::pin(talk_with::run(&args, context, &client)).await;
    }
    let request = StartRequest {
        workflow: args.name.clone(),
        input: input_of(&args)?,
        key: args.key.clone(),
        options: args.how.to_rest(),
        must_exist: kind.is_none(),
    };
    let started = client.start_run(&request).await?;
    if args.detach {
        return detached(context, &started);
    }
    talk::say(&format!(
        "{} {}",
        started.id,
        if started.existing { "was started before" } else { "started" }
    ));
    watched(&args, context, &client, started.id).await
}

/// What the name is, as far as a connected worker says so.
async fn kind_of(client: &Client, name: &str) -> Result<Option<DefinitionKind>> {
    if Path::new(name).extension().is_some_and(|e| e == "toml" || e == "json") {
        return Err(Problem::usage(
            format!("`{name}` is a file, and a server runs here already"),
            "put it under `agents/` of the project that `polos dev` runs, and use the agent's name",
        ));
    }
    let definitions = client.definitions(None).await?.items;
    Ok(definitions.iter().find(|d| d.definition.name == name).map(|d| d.definition.kind))
}

fn input_of(args: &Args) -> Result<Json> {
    match (&args.prompt, &args.input) {
        (Some(prompt), _) => Ok(Json::from_serialize(prompt)?),
        (None, Some(given)) => input::json(given),
        (None, None) => Ok(Json::default()),
    }
}

fn detached(context: &Context, started: &StartResponse) -> Result<Exit> {
    if context.is_json() {
        talk::json(started)?;
    } else {
        talk::line(&started.id.to_string())?;
        talk::say(&format!("watch it with `polos runs tail {}`", started.id));
    }
    Ok(Exit::Done)
}

/// Follows the run to its end and prints what it gave.
async fn watched(args: &Args, context: &Context, client: &Client, run: RunId) -> Result<Exit> {
    let manner = Manner { tells: !args.wait, asks: !args.no_ask };
    let ended = watch::follow(context, run, manner).await?;
    if let Ended::Rest { said, .. } = &ended {
        tell_result(context, &client.wait(run).await?, said)?;
    }
    Ok(ended.exit())
}

/// The output on standard output; why there is none on standard error.
fn tell_result(context: &Context, result: &RunResult, said: &str) -> Result<()> {
    if context.is_json() {
        return talk::json(result);
    }
    if let Some(output) = result.output.as_ref().map(readable) {
        // What was streamed to this very terminal is not printed a second time.
        if output.trim() != said.trim() {
            talk::line(&output)?;
        }
    }
    if let Some(error) = &result.error {
        talk::say(&format!("{}: {} ({})", result.state.name(), error.message, error.code));
    }
    if let Some(blocked) = &result.blocked {
        talk::say(&format!("blocked: {} ({})", blocked.message, blocked.code));
        talk::say(&format!("hint: {}", blocked.hint));
    }
    if result.state != State::Completed {
        talk::say(&format!("the whole story: polos runs show {}", result.id));
    }
    Ok(())
}

/// An agent's answer is its text; everything else is JSON as it is.
fn readable(output: &Json) -> String {
    let value: serde_json::Value = output.parse().unwrap_or_default();
    let answer = match &value {
        serde_json::Value::String(text) => Some(text.as_str()),
        other => other
            .get("text")
            .filter(|_| other.get("turns").is_some() && other.get("output").is_none())
            .and_then(serde_json::Value::as_str),
    };
    answer.map_or_else(|| output.text().to_owned(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agents_answer_is_its_text() {
        let check = |json: &str, expect: &str| {
            assert_eq!(readable(&Json::from_text(json).unwrap()), expect);
        };
        check(r#""plain""#, "plain");
        check(r#"{"text":"hi","stop":"end","turns":1,"usage":{}}"#, "hi");
        check(
            r#"{"text":"hi","turns":1,"output":{"a":1}}"#,
            r#"{"text":"hi","turns":1,"output":{"a":1}}"#,
        );
        check(r#"{"text":"hi"}"#, r#"{"text":"hi"}"#);
        check("[1, 2]", "[1, 2]");
    }
}
