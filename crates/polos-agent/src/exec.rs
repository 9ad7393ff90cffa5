//! The exec tool: judged, approved where need be, then run at most once.
//!
//! The command's id is its step's idempotency key, so a second worker that finds the step in doubt
//! asks the toolbox what became of it instead of running it again.

#![expect(clippy::needless_pass_by_value, reason = "the value is spent here")]

use std::sync::Arc;
use std::time::Duration;

use polos_sandbox::toolbox::client;
use polos_sandbox::toolbox::message::{
    self, Exec, ExecResult, OutputRequest, Program, Reply, Request, Status, Stdin, Stream,
    StreamKind,
};
use polos_sandbox::toolbox::tools::{ExecAction, ExecInput, text_of};
use polos_sandbox::{Executed, Sandbox};
use polos_sdk::{Answer, Approval, Ctx, Step, StepContext, StepError, Verdict};
use serde::Serialize;
use serde_json::json;

use crate::boxes::Desk;
use crate::grants::Grant;
use crate::judge::{Bench, Judgement, Question, Wanted};
use crate::recorded::{EXEC, NOTE, Ran, TOOL, ToolOutcome};
use crate::work::Work;

/// What a step may take beyond the command's own limit: opening the box, killing the tree.
const STEP_SLACK: Duration = Duration::from_mins(1);
const NAME: &str = "exec";

/// How a command is to run, besides what it is. Its fingerprint guards the step.
#[derive(Debug, Clone, Serialize)]
struct Order {
    program: Program,
    cwd: Option<String>,
    stdin: Option<String>,
    timeout_ms: u64,
    background: bool,
    /// Who let it pass.
    by: String,
}

/// What is to be done with a command line once it is decided.
enum Decided {
    Run { wanted: Wanted, program: Program, by: String },
    Answer(ToolOutcome),
}

/// Carries out a call of the tool.
pub(crate) async fn call(
    ctx: &Ctx,
    work: &Arc<Work>,
    input: ExecInput,
) -> polos_sdk::Result<ToolOutcome> {
    match input {
        ExecInput::Run { command, cwd, timeout_ms, stdin, background } => {
            let timeout_s = work.agent.sandbox.exec.timeout;
            let timeout_ms = timeout_ms.unwrap_or_else(|| timeout_s.saturating_mul(1_000));
            let wanted = Wanted { command, cwd, stdin };
            match decide(ctx, work, wanted).await? {
                Decided::Answer(outcome) => Ok(outcome),
                Decided::Run { wanted, program, by } => {
                    let Wanted { command, cwd, stdin } = wanted;
                    let order = Order { program, cwd, stdin, timeout_ms, background, by };
                    step(ctx, NAME, &work.desk, command, order).await
                }
            }
        }
        ExecInput::Process { process, action, offset } => {
            look_after(ctx, work, process, action, offset).await
        }
    }
}

/// Judges, and asks until it is clear. A command that the person has edited is judged anew.
async fn decide(ctx: &Ctx, work: &Arc<Work>, wanted: Wanted) -> polos_sdk::Result<Decided> {
    let mut wanted = wanted;
    loop {
        let question = match judge(ctx, work, &wanted).await? {
            Judgement::Run { program, by, .. } => {
                return Ok(Decided::Run { wanted, program, by });
            }
            Judgement::Deny { reason } => return Ok(Decided::Answer(denied(&wanted, &reason))),
            Judgement::Ask(question) => *question,
        };
        if work.is_allowed(&question.hash) {
            let program = question.ask.program;
            return Ok(Decided::Run { wanted, program, by: "run".to_owned() });
        }
        let answer = ask(ctx, work, &wanted, &question).await?;
        if !answer.approved {
            return Ok(Decided::Answer(rejected(NAME, &wanted.command, &answer)));
        }
        if let Some(edited) = edited(&wanted, &answer) {
            wanted = edited;
            continue;
        }
        work.keep(&answer, &question.hash);
        grant(ctx, work, &wanted, &answer).await?;
        let by = format!("approved by {}", answer.by);
        return Ok(Decided::Run { wanted, program: question.ask.program, by });
    }
}

/// The judgement is a step: policies and grants may be others when the run is replayed.
async fn judge(ctx: &Ctx, work: &Arc<Work>, wanted: &Wanted) -> polos_sdk::Result<Judgement> {
    let (work, asked) = (work.clone(), wanted.clone());
    ctx.step("judge", move || {
        let (work, wanted) = (work.clone(), asked.clone());
        async move {
            let granted = work.shop.grants.of(&work.agent.id, work.session.as_deref())?;
            let environment = work.environment();
            let bench = Bench {
                policy: &work.policy,
                granted: &granted,
                environment: &environment,
                has_session: work.session.is_some(),
            };
            Ok(bench.judge(&wanted))
        }
    })
    .label(NOTE)
    .args(wanted)
    .await
}

async fn ask(
    ctx: &Ctx,
    work: &Work,
    wanted: &Wanted,
    question: &Question,
) -> polos_sdk::Result<Answer> {
    let form = json!({
        "type": "object",
        "properties": {
            "command": {"type": "string", "description": "The command to run instead"},
        },
    });
    let approval = Approval {
        title: format!("`{}` wants to run a command", work.agent.id),
        subject: question.subject(wanted),
        subject_hash: Some(question.hash.clone()),
        form: Some(form),
        scopes: question.scopes.clone(),
        ..Approval::default()
    };
    let asked = ctx.now();
    let answer = ctx.ask("approve", approval).await;
    work.waited(ctx.now().saturating_sub(asked));
    answer
}

/// The command as the person has changed it, if they have.
fn edited(wanted: &Wanted, answer: &Answer) -> Option<Wanted> {
    let command = answer.value.as_ref()?.get("command")?.as_str()?;
    let is_other = command != wanted.command && !command.trim().is_empty();
    is_other.then(|| Wanted { command: command.to_owned(), ..wanted.clone() })
}

/// Keeps a yes that goes beyond the run.
async fn grant(
    ctx: &Ctx,
    work: &Arc<Work>,
    wanted: &Wanted,
    answer: &Answer,
) -> polos_sdk::Result<()> {
    let session = match answer.scope.as_deref() {
        Some("always") => None,
        Some("session") => work.session.clone(),
        _ => return Ok(()),
    };
    let (work, wanted, by) = (work.clone(), wanted.clone(), answer.by.clone());
    ctx.step("grant", move || {
        let (work, wanted, by, session) =
            (work.clone(), wanted.clone(), by.clone(), session.clone());
        async move {
            let bench = Bench {
                policy: &work.policy,
                granted: &[],
                environment: "",
                has_session: session.is_some(),
            };
            if let Some(command) = bench.exact_pattern(&wanted) {
                let agent = work.agent.id.clone();
                work.shop.grants.add(Grant { agent, session, command, by })?;
            }
            Ok(())
        }
    })
    .label(NOTE)
    .await
}

fn denied(wanted: &Wanted, reason: &str) -> ToolOutcome {
    ToolOutcome::text(NAME, &wanted.command, format!("The command was not run: {reason}")).failed()
}

/// What the model is told when a person says no.
pub(crate) fn rejected(tool: &str, about: &str, answer: &Answer) -> ToolOutcome {
    let text = match answer.feedback.as_deref().map(str::trim).filter(|text| !text.is_empty()) {
        Some(feedback) => format!("A person has rejected this, and says: {feedback}"),
        None => "A person has rejected this. Find another way, or say what is needed.".to_owned(),
    };
    ToolOutcome::text(tool, about, text).failed()
}

/// The step that runs a command, at most once.
fn step(ctx: &Ctx, name: &str, desk: &Desk, about: String, order: Order) -> Step<ToolOutcome> {
    let limit = Duration::from_millis(order.timeout_ms) + STEP_SLACK;
    let ((begun, said), (found, of)) = ((desk.clone(), about.clone()), (desk.clone(), about));
    let ordered = order.clone();
    ctx.step_with(name, move |step| {
        let (desk, about, order) = (begun.clone(), said.clone(), ordered.clone());
        async move { start(&desk, &step, about, order).await }
    })
    .once()
    .fenced()
    .verify(move |step| {
        let (desk, about) = (found.clone(), of.clone());
        async move { settle(&desk, &step, &about).await }
    })
    .label(EXEC)
    .args(&order)
    .timeout(limit)
}

impl Desk {
    /// A step that runs a program of the workflow's own in the box, at most once. Nobody is asked:
    /// the program is the code's, not a model's. `about` is what people are shown.
    pub fn exec(&self, ctx: &Ctx, name: &str, about: &str, program: Program) -> Step<ToolOutcome> {
        let timeout_ms = self.config().exec.timeout.saturating_mul(1_000);
        let by = "workflow".to_owned();
        let order = Order { program, cwd: None, stdin: None, timeout_ms, background: false, by };
        step(ctx, name, self, about.to_owned(), order)
    }
}

async fn start(
    desk: &Desk,
    step: &StepContext,
    about: String,
    order: Order,
) -> Result<ToolOutcome, StepError> {
    let sandbox = desk.open().await?;
    let exec = Exec {
        command: step.idempotency_key(),
        program: order.program,
        cwd: order.cwd,
        env: desk.config().local.env.clone(),
        stdin: order.stdin.map_or(Stdin::None, |text| Stdin::Text { text }),
        timeout_ms: Some(order.timeout_ms),
        background: order.background,
        limits: message::OutputLimits::default(),
    };
    match sandbox.exec(exec, live(step)).await {
        Ok(Executed::Ended(result)) => Ok(ended(about, *result)),
        Ok(Executed::Started(started)) => {
            sandbox.has_background();
            let text = text_of(&Reply::Started(started));
            Ok(ToolOutcome::text(NAME, about, text))
        }
        Err(error) => refused(NAME, &about, error),
    }
}

/// What became of a command whose outcome was not recorded.
async fn settle(
    desk: &Desk,
    step: &StepContext,
    about: &str,
) -> Result<Verdict<ToolOutcome>, StepError> {
    let sandbox = desk.open().await?;
    let id = step.idempotency_key();
    Ok(match sandbox.status(&id).await? {
        Status::NotStarted => Verdict::NotDone,
        Status::Done { result } => Verdict::Done(ended(about.to_owned(), *result)),
        Status::Running => {
            let result = sandbox.attach(&id, live(step)).await?;
            Verdict::Done(ended(about.to_owned(), result))
        }
        Status::Unknown { output_file } => Verdict::Done(lost(about, &output_file)),
    })
}

fn lost(about: &str, output_file: &str) -> ToolOutcome {
    let text = format!(
        "The command was started, and the sandbox ended before it did: whether it went through is \
         unknown. What it printed is in {output_file}. Look at its effects before you repeat it."
    );
    ToolOutcome::text(NAME, about, text).failed()
}

fn ended(about: String, result: ExecResult) -> ToolOutcome {
    let ran = Ran {
        exit_code: result.exit_code,
        duration_ms: result.duration_ms,
        stdout: result.stdout.clone(),
    };
    let text = text_of(&Reply::Exec(result));
    ToolOutcome { ran: Some(ran), ..ToolOutcome::text(NAME, about, text) }
}

/// A refusal is an answer for the model; a lost connection leaves the step in doubt.
pub(crate) fn refused(
    tool: &str,
    about: &str,
    error: polos_sandbox::Error,
) -> Result<ToolOutcome, StepError> {
    match error {
        polos_sandbox::Error::Client(client::Error::Refused(refusal)) => {
            Ok(ToolOutcome::text(tool, about, refusal.to_string()).failed())
        }
        error => Err(error.into()),
    }
}

/// Sends the command's output to whoever watches.
fn live(step: &StepContext) -> impl FnMut(Stream) + Send + 'static {
    let step = step.clone();
    move |stream| {
        if let Stream::Output { stream, text, .. } = stream {
            let kind = match stream {
                StreamKind::Stdout => "stdout",
                StreamKind::Stderr => "stderr",
            };
            step.stream(kind, &text);
        }
    }
}

/// Looks at, or ends, a command in the background.
async fn look_after(
    ctx: &Ctx,
    work: &Arc<Work>,
    process: String,
    action: ExecAction,
    offset: Option<u64>,
) -> polos_sdk::Result<ToolOutcome> {
    let work = work.clone();
    ctx.step("process", move || {
        let (work, process) = (work.clone(), process.clone());
        async move {
            let sandbox = work.desk.open().await?;
            let about = match action {
                ExecAction::Output => format!("output of {process}"),
                ExecAction::Kill => format!("kill {process}"),
            };
            match attended(&sandbox, process, action, offset).await {
                Ok(reply) => Ok(ToolOutcome::text(NAME, about, text_of(&reply))),
                Err(error) => refused(NAME, &about, error),
            }
        }
    })
    .label(TOOL)
    .await
}

async fn attended(
    sandbox: &Sandbox,
    command: String,
    action: ExecAction,
    offset: Option<u64>,
) -> Result<Reply, polos_sandbox::Error> {
    let request = match action {
        ExecAction::Kill => Request::Kill { command },
        ExecAction::Output => {
            Request::Output(OutputRequest { command, offset: offset.unwrap_or(0), bytes_max: None })
        }
    };
    sandbox.request(request).await
}
