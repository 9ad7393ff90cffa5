//! `polos replay`: stored journals against the code of now, dry.

mod rehearser;
mod tell;

use super::runs::target::Filter;
use crate::context::Context;
use crate::exit::{Exit, Problem};
use crate::project::Project;
use crate::show::amount;
use crate::talk;
use anyhow::Result;
use polos_protocol::frame::{Finding, Replayed};
use polos_protocol::rest::{PAGE_ITEMS_MAX, RunFilter};
use polos_protocol::run::RunSummary;
use polos_protocol::{RunId, State};
use polos_sdk::client::{Client, RunsQuery};
use rehearser::Rehearser;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// What takes longer than this says how far it is, and so often.
const SILENT: Duration = Duration::from_secs(1);
/// The states of runs that have not ended.
const OPEN: [State; 4] = [State::Queued, State::Running, State::Waiting, State::Blocked];

/// Check stored journals against the code of now, without doing anything
///
/// The code of each run goes through its journal once more: the agents of `agents/`, and the workflows
/// of the worker that `polos.toml` names, which is started for it and reaches no server. No step runs
/// and nothing is written; what the code would do next is told instead. Do it before you deploy: a
/// run that differs here would block there.
///
/// Exit status: 0 if all agree, 3 if one differs, 1 if one could not be checked.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The runs, or a filter; by default all that have not ended
    #[arg(value_name = "RUN")]
    runs: Vec<RunId>,
    /// Tell of the runs that agree as well
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    filter: Filter,
}

/// How many runs were found to be what.
#[derive(Debug, Default, PartialEq, Eq, serde::Serialize)]
struct Tally {
    agree: u64,
    insert: u64,
    differ: u64,
    unchecked: u64,
}

pub(crate) async fn run(args: Args, context: &Context) -> Result<Exit> {
    let mut filter = args.filter.to_rest();
    let is_named = !args.runs.is_empty();
    if is_named && filter != RunFilter::default() {
        return Err(Problem::usage(
            "both runs and a filter are given",
            "name runs, or use a filter, not both",
        ));
    }
    if filter.state.is_empty() {
        filter.state = OPEN.to_vec();
    }
    let client = context.client().await?;
    let project = Project::find(&std::env::current_dir()?)?;
    let mut check = Check {
        context,
        client: &client,
        rehearsers: Rehearser::all(&project, context).await?,
        tells_all: args.all || is_named,
        tally: Tally::default(),
        strange: BTreeSet::new(),
        told: Instant::now(),
    };
    for id in args.runs {
        let summary = client.run(id).await?.summary;
        check.one(&summary).await?;
    }
    if !is_named {
        check.filtered(filter).await?;
    }
    check.end().await
}

/// A check that goes on.
struct Check<'a> {
    context: &'a Context,
    client: &'a Client,
    rehearsers: Vec<Rehearser>,
    tells_all: bool,
    tally: Tally,
    /// What nobody here can run.
    strange: BTreeSet<String>,
    told: Instant,
}

impl Check<'_> {
    async fn filtered(&mut self, filter: RunFilter) -> Result<()> {
        let limit = Some(PAGE_ITEMS_MAX);
        let mut query = RunsQuery { filter, limit, cursor: None };
        loop {
            let page = self.client.runs(&query).await?;
            for summary in &page.items {
                self.one(summary).await?;
            }
            query.cursor = page.next_cursor;
            if query.cursor.is_none() {
                return Ok(());
            }
        }
    }

    async fn one(&mut self, summary: &RunSummary) -> Result<()> {
        let rehearser = self.rehearsers.iter_mut().find(|r| r.runs(&summary.workflow));
        let replayed = if let Some(rehearser) = rehearser {
            rehearser.replay(self.client, summary.id).await?
        } else {
            self.strange.insert(summary.workflow.clone());
            let message = format!("no code for `{}` is here", summary.workflow);
            let finding = Finding::Unchecked { message };
            Replayed { run: summary.id, build: "".into(), finding, notes: Vec::new() }
        };
        let agrees = self.tally.count(&replayed.finding);
        if self.context.is_json() {
            tell::json(summary, &replayed)?;
        } else if self.tells_all || !agrees {
            tell::text(summary, &replayed, self.context)?;
        }
        if self.told.elapsed() > SILENT {
            self.told = Instant::now();
            talk::say(&format!("{} so far", amount::counted(self.tally.all(), "run")));
        }
        Ok(())
    }

    async fn end(self) -> Result<Exit> {
        for rehearser in self.rehearsers {
            rehearser.end().await;
        }
        if self.context.is_json() {
            talk::json(&self.tally)?;
        } else {
            talk::line(&self.tally.told())?;
        }
        if !self.strange.is_empty() {
            let names: Vec<_> = self.strange.iter().map(|name| format!("`{name}`")).collect();
            talk::say(&format!("no code is here for {}", names.join(", ")));
            talk::say(
                "hint: agents are read from `agents/`, and your worker is `[dev] worker` of `polos.toml`; or check less: `--workflow NAME`",
            );
        }
        Ok(self.tally.exit())
    }
}

impl Tally {
    /// Counts a finding; true if there is nothing to tell.
    fn count(&mut self, finding: &Finding) -> bool {
        let counter = match finding {
            Finding::Agrees { .. } => &mut self.agree,
            Finding::Inserts { .. } => &mut self.insert,
            Finding::Differs { .. } => &mut self.differ,
            Finding::Unchecked { .. } => &mut self.unchecked,
        };
        *counter += 1;
        matches!(finding, Finding::Agrees { .. })
    }

    fn all(&self) -> u64 {
        self.agree + self.insert + self.differ + self.unchecked
    }

    fn told(&self) -> String {
        if self.all() == 0 {
            return "no run fits".to_owned();
        }
        let parts = [
            (self.agree, "agree"),
            (self.insert, "would insert steps"),
            (self.differ, "differ"),
            (self.unchecked, "not checked"),
        ];
        let told = parts.iter().filter(|(count, what)| *count > 0 || *what == "agree");
        let told: Vec<_> =
            told.map(|(count, what)| format!("{} {what}", amount::count(*count))).collect();
        format!("{}: {}", amount::counted(self.all(), "run"), told.join(", "))
    }

    fn exit(&self) -> Exit {
        match self {
            Self { differ: 1.., .. } => Exit::RunNotCompleted,
            Self { unchecked: 1.., .. } => Exit::Failed,
            _ => Exit::Done,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tally_is_told_and_decides_the_exit() {
        let check = |agree, insert, differ, unchecked, told: &str, exit| {
            let tally = Tally { agree, insert, differ, unchecked };
            assert_eq!((tally.told().as_str(), tally.exit()), (told, exit));
        };
        check(0, 0, 0, 0, "no run fits", Exit::Done);
        check(2, 1, 0, 0, "3 runs: 2 agree, 1 would insert steps", Exit::Done);
        check(0, 0, 1, 1, "2 runs: 0 agree, 1 differ, 1 not checked", Exit::RunNotCompleted);
        check(1, 0, 0, 1, "2 runs: 1 agree, 1 not checked", Exit::Failed);
    }
}
