//! `polos run`: starts a run and watches it; with an agent and a terminal, a conversation.

mod talk_with;

use crate::context::Context;
use crate::crew::Wanted;
use crate::exit::{Exit, Problem};
use crate::show::{amount, json, moment};
use crate::watch::{self, Ended, Manner};
use crate::{input, prompt, talk};
use anyhow::Result;
use polos_protocol::record::RunOptions;
use polos_protocol::rest::{RunFilter, StartRequest};
use polos_protocol::run::RunResult;
use polos_protocol::{DefinitionKind, Json, RunId, SessionId, State};
use polos_sdk::client::{Client, RunsQuery};
use std::path::{Path, PathBuf};

/// Start a run and watch it: it streams, asks for approvals here, and ends with its output
///
/// An agent is asked with a prompt; without one, a conversation begins at the terminal. A workflow
/// takes `--input`. Ctrl-C stops the watching, not the run.
///
/// No server needs to run: without one, this process is the server, with the agents of `agents/` and
/// the worker of `polos.toml`, until the run rests. What is recorded stays: `polos runs tail RUN`
/// goes on with it.
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

pub(crate) async fn run(mut args: Args, context: &Context) -> Result<Exit> {
    if args.detach {
        return detached(&args, context).await;
    }
    let file = is_file(&args.name).then(|| PathBuf::from(&args.name));
    let wanted = file.as_deref().map_or(Wanted::All, Wanted::With);
    let client = context.client_with_crew(wanted).await?;
    let kind = match context.embedded().and_then(|embedded| embedded.crew.as_ref()) {
        Some(crew) => {
            if let Some(named) = &crew.named {
                args.name.clone_from(named);
            }
            Some(crew.brings(&client, &args.name).await?)
        }
        None => kind_of(&client, &args.name).await?,
    };
    let wants_talk =
        kind == Some(DefinitionKind::Agent) && args.prompt.is_none() && args.input.is_none();
    if wants_talk && prompt::is_possible() {
        return Box::pin(talk_with::run(&args, context, &client)).await;
    }
    let started = client.start_run(&args.request(kind.is_none())?).await?;
    talk::say(&format!(
        "{} {}",
        started.id,
        if started.existing { "was started before" } else { "started" }
    ));
    tell_where(context, &client).await?;
    watched(&args, context, &client, started.id).await
}

impl Args {
    fn request(&self, must_exist: bool) -> Result<StartRequest> {
        Ok(StartRequest {
            workflow: self.name.clone(),
            input: input_of(self)?,
            key: self.key.clone(),
            options: self.how.to_rest(),
            must_exist,
        })
    }
}

fn is_file(name: &str) -> bool {
    Path::new(name).extension().is_some_and(|e| e == "toml" || e == "json")
}

/// What the name is, as far as a worker of the server that runs says so.
async fn kind_of(client: &Client, name: &str) -> Result<Option<DefinitionKind>> {
    if is_file(name) {
        return Err(Problem::usage(
            format!("`{name}` is a file, and a server runs here already"),
            "put it under `agents/` of the project that `polos dev` runs, and use the agent's name",
        ));
    }
    let definitions = client.definitions(None).await?.items;
    Ok(definitions.iter().find(|d| d.definition.name == name).map(|d| d.definition.kind))
}

/// Where this process is the server: how to reach it, and which runs go on here besides.
async fn tell_where(context: &Context, client: &Client) -> Result<()> {
    let Some(embedded) = context.embedded() else { return Ok(()) };
    talk::say(&format!("no server runs here, so this process is one, at {}", embedded.server.url));
    let filter = RunFilter {
        state: vec![State::Queued, State::Running],
        roots_only: true,
        ..RunFilter::default()
    };
    let others = client.runs(&RunsQuery { filter, ..RunsQuery::default() }).await?.items.len();
    if others > 1 {
        let others = amount::counted(others as u64 - 1, "run");
        talk::say(&format!("{others} from before may go on as well: polos runs list"));
    }
    Ok(())
}

fn input_of(args: &Args) -> Result<Json> {
    match (&args.prompt, &args.input) {
        (Some(prompt), _) => Ok(Json::from_serialize(prompt)?),
        (None, Some(given)) => input::json(given),
        (None, None) => Ok(Json::default()),
    }
}

/// Starts the run and does not wait. Where no server runs, it waits for one.
async fn detached(args: &Args, context: &Context) -> Result<Exit> {
    let client = context.client_of_any_store().await?;
    let is_alone = context.embedded().is_some();
    let kind = if is_alone { None } else { kind_of(&client, &args.name).await? };
    let started = client.start_run(&args.request(kind.is_none() && !is_alone)?).await?;
    if context.is_json() {
        talk::json(&started)?;
        return Ok(Exit::Done);
    }
    talk::line(&started.id.to_string())?;
    if is_alone {
        talk::say("it waits: no server runs here");
        talk::say(&format!("run it with `polos runs tail {}`, or with `polos dev`", started.id));
    } else {
        talk::say(&format!("watch it with `polos runs tail {}`", started.id));
    }
    Ok(Exit::Done)
}

/// Follows the run to its end and prints what it gave.
async fn watched(args: &Args, context: &Context, client: &Client, run: RunId) -> Result<Exit> {
    let manner = Manner { tells: !args.wait, asks: !args.no_ask };
    let ended = watch::follow(context, client, run, manner).await?;
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
    if let Some(output) = result.output.as_ref().map(json::readable) {
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
