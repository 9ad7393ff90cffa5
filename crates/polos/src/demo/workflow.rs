//! The workflow of the demo, an ordinary one on the Rust SDK: plan, change, test until it passes,
//! commit, ask the person; and again, if the person sends it back.
//!
//! The agents are child runs; what git does is the workflow's own, in the same box.

use std::time::Duration;

use polos_agent::recorded::ToolOutcome;
use polos_agent::{Desk, Input, Output};
use polos_sandbox::toolbox::message::{Connector, Pipeline, Program, Stage, Word};
use polos_sdk::{Answer, Approval, Ctx, Error, Failure, Result};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::crew::{CODER, PLANNER, Round, TESTER, Verdict};
use super::repository::BUNDLE;
use super::summary::Outcome;

/// Its name.
pub(crate) const NAME: &str = "demo";
/// How often tests may fail before the coder gives up on one word of the person.
const FAILURES_MAX: u32 = 4;
/// How often the person may send the change back.
const REVIEWS_MAX: usize = 3;

/// What the workflow is given.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Order {
    pub(crate) title: String,
    pub(crate) issue: String,
    /// The commit that work begins at.
    pub(crate) base: String,
    pub(crate) branch: String,
    /// How long to pause after the first change, so that something can be killed between two calls
    /// of the model.
    #[serde(default)]
    pub(crate) pause_ms: u64,
}

/// What the workflow gives.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Ended {
    pub(crate) outcome: Outcome,
    pub(crate) rounds: u32,
    /// The commit that the person approved: what comes out must be this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) commit: Option<String>,
}

/// Runs it, in the box of this desk.
pub(crate) async fn run(ctx: Ctx, desk: Desk, order: Order) -> Result<Ended> {
    let mut round = Round { issue: order.issue.clone(), ..Round::default() };
    round.plan = ask(&ctx, &desk, PLANNER, round.for_planner()).await?.text;
    loop {
        if !mend(&ctx, &desk, &order, &mut round).await? {
            return Ok(ended(Outcome::NotMended, &round, None));
        }
        commit(&ctx, &desk, &order, &round).await?;
        let Some(change) = look(&ctx, &desk, &order).await? else {
            return Ok(ended(Outcome::NotMended, &round, None));
        };
        let answer = review(&ctx, &order, &round, &change).await?;
        if answer.approved {
            export(&ctx, &desk, &order).await?;
            return Ok(ended(Outcome::Approved, &round, Some(change.commit)));
        }
        let feedback = answer.feedback.unwrap_or_default();
        if round.reviews.len() == REVIEWS_MAX || feedback.trim().is_empty() {
            return Ok(ended(Outcome::Rejected, &round, None));
        }
        round.reviews.push(feedback);
    }
}

fn ended(outcome: Outcome, round: &Round, commit: Option<String>) -> Ended {
    Ended { outcome, rounds: round.number, commit }
}

/// An agent's answer, from a child run near the box.
async fn ask(ctx: &Ctx, desk: &Desk, agent: &str, prompt: String) -> Result<Output> {
    ctx.call::<Output>(agent, &Input::prompt(prompt)).placement(desk.id(), false).await
}

/// Changes and tests until the tests pass, or have failed too often.
async fn mend(ctx: &Ctx, desk: &Desk, order: &Order, round: &mut Round) -> Result<bool> {
    round.report = None;
    for _ in 0..FAILURES_MAX {
        round.number += 1;
        round.summary = ask(ctx, desk, CODER, round.for_coder()).await?.text;
        if round.number == 1 && order.pause_ms > 0 {
            ctx.sleep(Duration::from_millis(order.pause_ms)).await?;
        }
        let verdict = ask(ctx, desk, TESTER, round.for_tester()).await?;
        let verdict: Verdict = serde_json::from_value(verdict.output.unwrap_or_default())?;
        if verdict.passed {
            return Ok(true);
        }
        round.report = Some(verdict.report);
    }
    Ok(false)
}

/// Commits what has changed; a round that changed nothing adds nothing.
async fn commit(ctx: &Ctx, desk: &Desk, order: &Order, round: &Round) -> Result<()> {
    let program = plan(&[
        (Connector::Always, &["git", "add", "--all"]),
        (Connector::And, &["git", "diff", "--cached", "--stat"]),
    ]);
    if worked(desk.exec(ctx, "stage", "git add --all", program).await?)?.trim().is_empty() {
        return Ok(());
    }
    let subject = match round.reviews.last() {
        None => order.title.clone(),
        Some(review) => format!("Follow the review: {}", review.lines().next().unwrap_or_default()),
    };
    let summary = round.summary.trim();
    let argv = ["git", "commit", "--quiet", "-m", &subject, "-m", summary];
    let program = plan(&[(Connector::Always, &argv)]);
    let about = format!("git commit -m '{subject}'");
    worked(desk.exec(ctx, "commit", &about, program).await?).map(drop)
}

/// The whole change, and the commit that holds it.
struct Change {
    commit: String,
    diff: String,
}

/// Looks at the whole change; nothing if there is none.
async fn look(ctx: &Ctx, desk: &Desk, order: &Order) -> Result<Option<Change>> {
    let range = format!("{}..HEAD", order.base);
    let program = plan(&[
        (Connector::Always, &["git", "rev-parse", "HEAD"]),
        (Connector::And, &["git", "diff", "--no-ext-diff", "--no-textconv", &range]),
    ]);
    let about = format!("git diff {}..HEAD", &order.base[..order.base.len().min(12)]);
    let shown = worked(desk.exec(ctx, "diff", &about, program).await?)?;
    let (commit, diff) = shown.split_once('\n').unwrap_or((&shown, ""));
    let change = Change { commit: commit.trim().to_owned(), diff: diff.to_owned() };
    Ok((change.commit != order.base && !change.diff.is_empty()).then_some(change))
}

/// Shows the whole change to the person. The answer is bound to the commit.
async fn review(ctx: &Ctx, order: &Order, round: &Round, change: &Change) -> Result<Answer> {
    let approval = Approval {
        title: format!("May this become the branch `{}`?", order.branch),
        subject_hash: polos_sdk::replay::fingerprint(&change.commit).ok().map(|h| h.to_string()),
        subject: json!({
            "text": format!("{}\n\n{}", order.title, round.summary.trim()),
            "commit": change.commit,
            "diff": change.diff,
        }),
        ..Approval::default()
    };
    ctx.ask("review", approval).await
}

/// Leaves the branch as a bundle beneath the workspace.
async fn export(ctx: &Ctx, desk: &Desk, order: &Order) -> Result<()> {
    let range = format!("{}..{}", order.base, order.branch);
    let argv = ["git", "bundle", "create", "--quiet", BUNDLE, &range];
    let program = plan(&[(Connector::Always, &argv)]);
    let about = format!("git bundle create … {}", order.branch);
    worked(desk.exec(ctx, "export", &about, program).await?).map(drop)
}

/// Plain commands, started without a shell.
fn plan(commands: &[(Connector, &[&str])]) -> Program {
    let pipelines = commands.iter().map(|(after, argv)| {
        let argv = argv.iter().map(|word| Word::Literal((*word).to_owned())).collect();
        Pipeline { after: *after, stages: vec![Stage { argv, redirects: Vec::new() }] }
    });
    Program::Plan { pipelines: pipelines.collect() }
}

/// What a command of the workflow's own printed; one that fails is an error of the run.
fn worked(outcome: ToolOutcome) -> Result<String> {
    match outcome.ran {
        Some(ran) if ran.exit_code == Some(0) => Ok(ran.stdout),
        _ => {
            let said = super::tale::text_of(&outcome);
            let message = format!("`{}` failed in the sandbox: {}", outcome.about, said.trim());
            Err(Error::from(Failure::new("command_failed", message)))
        }
    }
}
