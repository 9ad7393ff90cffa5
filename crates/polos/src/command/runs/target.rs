//! Which runs a verb is for: ids, or a filter. A filter shows first what it would do.

use crate::context::Context;
use crate::exit::{Exit, Problem};
use crate::show::amount;
use crate::{input, prompt, talk};
use anyhow::Result;
use polos_protocol::rest::{BulkRequest, BulkResponse, RunFilter, Verb, VerbResponse};
use polos_protocol::{RunId, SessionId, State};
use polos_sdk::client::Client;

/// Which runs, by what they are.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Filter")]
pub(crate) struct Filter {
    /// Runs in this state; several with commas, or repeated
    #[arg(long, value_parser = state, value_delimiter = ',')]
    state: Vec<State>,
    /// Runs of this workflow, agent or tool
    #[arg(long, value_name = "NAME")]
    workflow: Option<String>,
    /// Runs in which this build recorded last
    #[arg(long)]
    build: Option<String>,
    /// Runs that failed or are blocked with this code
    #[arg(long, value_name = "CODE")]
    error: Option<String>,
    /// Runs in this queue
    #[arg(long)]
    queue: Option<String>,
    /// Runs of this session
    #[arg(long)]
    session: Option<SessionId>,
    /// Children of this run
    #[arg(long, value_name = "RUN")]
    parent: Option<RunId>,
    /// The whole tree of this run
    #[arg(long, value_name = "RUN")]
    root: Option<RunId>,
    /// Runs with this label; may be repeated
    #[arg(long, value_name = "NAME=VALUE", value_parser = input::label)]
    label: Vec<(String, String)>,
}

impl Filter {
    /// The filter as REST takes it.
    pub(crate) fn to_rest(&self) -> RunFilter {
        RunFilter {
            state: self.state.clone(),
            workflow: self.workflow.clone(),
            build: self.build.clone(),
            error: self.error.clone(),
            queue: self.queue.clone(),
            session: self.session,
            parent: self.parent,
            root: self.root,
            labels: self.label.iter().cloned().collect(),
            ..RunFilter::default()
        }
    }
}

/// Which runs a verb is for.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Target {
    /// The runs; or use a filter
    #[arg(value_name = "RUN")]
    runs: Vec<RunId>,
    /// Do it to all runs that fit the filter, without asking
    #[arg(long, short)]
    yes: bool,
    #[command(flatten)]
    filter: Filter,
}

impl Target {
    /// Gives the order, and tells what became of it.
    pub(crate) async fn order(self, context: &Context, verb: Verb) -> Result<Exit> {
        let filter = self.filter.to_rest();
        match (self.runs.is_empty(), filter == RunFilter::default()) {
            (false, true) => each(context, &self.runs, &verb).await,
            (true, false) => bulk(context, filter, verb, self.yes).await,
            (true, true) => Err(Problem::usage(
                "neither a run nor a filter is given",
                "name runs, or say which: `--state blocked --error CODE`",
            )),
            (false, false) => Err(Problem::usage(
                "both runs and a filter are given",
                "name runs, or use a filter, not both",
            )),
        }
    }
}

/// Reads a state's name.
fn state(text: &str) -> Result<State, String> {
    State::from_name(text).ok_or_else(|| {
        let names: Vec<_> = State::ALL.iter().map(|state| state.name()).collect();
        format!("`{text}` is not a state: use {}", names.join(", "))
    })
}

async fn each(context: &Context, runs: &[RunId], verb: &Verb) -> Result<Exit> {
    let client = context.client().await?;
    for run in runs {
        let response = order(&client, *run, verb).await?;
        tell(context, &response)?;
    }
    Ok(Exit::Done)
}

/// Gives one run an order.
pub(crate) async fn order(client: &Client, run: RunId, verb: &Verb) -> Result<VerbResponse> {
    Ok(match verb {
        Verb::Cancel(request) => client.cancel(run, request).await?,
        Verb::Kill(request) => client.kill(run, request).await?,
        Verb::Resume(request) => client.resume(run, request).await?,
        Verb::Retry(request) => client.retry(run, request).await?,
        Verb::Fork(request) => client.fork(run, request).await?,
        Verb::Settle(request) => client.settle(run, request).await?,
    })
}

/// Tells what a verb did.
pub(crate) fn tell(context: &Context, response: &VerbResponse) -> Result<()> {
    if context.is_json() {
        talk::json(response)
    } else {
        talk::line(&format!("{} {}: {}", response.id, response.state.name(), response.message))?;
        if context.embedded().is_some() && response.state == State::Queued {
            let id = response.id;
            talk::say(&format!(
                "no server runs here; it goes on with `polos runs tail {id}`, or with `polos dev`"
            ));
        }
        Ok(())
    }
}

async fn bulk(context: &Context, filter: RunFilter, verb: Verb, yes: bool) -> Result<Exit> {
    let name = verb_name(&verb);
    let mut request = BulkRequest { filter, verb, dry_run: true, after: None };
    let would = all_pages(context, &mut request).await?;
    if would.done == 0 && would.refused.is_empty() {
        talk::say("no run fits the filter");
        return Ok(Exit::Done);
    }
    talk::say(&format!("would {name} {}", amount::counted(would.done, "run")));
    refusals(&would);
    if !yes && !prompt::confirm(&format!("{name} {}?", amount::counted(would.done, "run")))? {
        talk::say("nothing was done");
        return Ok(Exit::Failed);
    }
    request.dry_run = false;
    request.after = None;
    let did = all_pages(context, &mut request).await?;
    if context.is_json() {
        talk::json(&did)?;
    } else {
        talk::line(&format!("{name}: done to {}", amount::counted(did.done, "run")))?;
        refusals(&did);
    }
    Ok(if did.refused.is_empty() { Exit::Done } else { Exit::Failed })
}

/// One call takes so many runs; this goes on until all have been looked at.
async fn all_pages(context: &Context, request: &mut BulkRequest) -> Result<BulkResponse> {
    let client = context.client().await?;
    let mut sum = BulkResponse::default();
    loop {
        let page = client.bulk(request).await?;
        sum.done += page.done;
        sum.refused.extend(page.refused);
        sum.last = page.last.or(sum.last);
        if !page.more || page.last.is_none() {
            return Ok(sum);
        }
        request.after = page.last;
        if !request.dry_run {
            talk::say(&format!(
                "{} so far, last {}",
                sum.done,
                page.last.map_or_else(String::new, |id| id.to_string())
            ));
        }
    }
}

fn refusals(response: &BulkResponse) {
    for refusal in &response.refused {
        talk::say(&format!("  {} refuses: {}", refusal.id, refusal.error.message));
    }
}

fn verb_name(verb: &Verb) -> &'static str {
    match verb {
        Verb::Cancel(_) => "cancel",
        Verb::Kill(_) => "kill",
        Verb::Resume(_) => "resume",
        Verb::Retry(_) => "retry",
        Verb::Fork(_) => "fork",
        Verb::Settle(_) => "settle",
    }
}
