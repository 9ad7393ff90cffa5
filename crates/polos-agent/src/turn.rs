//! One call of a tool, whatever it leads to. What goes wrong in it is told to the model; only what
//! the model cannot do anything about is raised.

use std::sync::Arc;

use polos_llm::Block;
use polos_sandbox::toolbox::tools::{Input as ToolInput, parse};
use polos_sdk::{Approval, Ctx, Error, StepContext};
use serde_json::{Value, json};

use crate::change::Change;
use crate::conversation::{Input, Output};
use crate::recorded::{TOOL, ToolOutcome};
use crate::tool::{ASK_USER, Tool, Way};
use crate::work::Work;
use crate::{change, exec, look};

/// A call as the model made it.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) id: String,
    name: String,
    arguments: Value,
    /// What the model wrote, if it was no JSON object.
    malformed: Option<String>,
}

impl Call {
    /// The call that a block of a reply holds, if it holds one.
    pub(crate) fn of(block: &Block) -> Option<Self> {
        let Block::ToolUse { id, name, input, malformed, .. } = block else { return None };
        let arguments = serde_json::from_str(input.as_str()).unwrap_or(Value::Null);
        let (id, name, malformed) = (id.clone(), name.clone(), malformed.clone());
        Some(Self { id, name, arguments, malformed })
    }
}

/// Carries out a call, and gives the block that answers it.
pub(crate) async fn answer(ctx: Ctx, work: Arc<Work>, call: Call) -> polos_sdk::Result<Block> {
    let id = call.id.clone();
    let outcome = match &call.malformed {
        Some(written) => malformed(&call.name, written),
        None => dispatch(&ctx, &work, call).await?,
    };
    Ok(outcome.into_block(&id))
}

fn malformed(tool: &str, written: &str) -> ToolOutcome {
    let shown: String = written.chars().take(200).collect();
    let text = format!("The arguments are not a JSON object, so nothing was done: {shown}");
    ToolOutcome::text(tool, "", text).failed()
}

async fn dispatch(ctx: &Ctx, work: &Arc<Work>, call: Call) -> polos_sdk::Result<ToolOutcome> {
    match work.toolset.way(&call.name) {
        Some(Way::Sandbox) => in_sandbox(ctx, work, &call).await,
        Some(Way::AskUser) => ask_user(ctx, work, &call).await,
        Some(Way::Agent(agent)) => sub_agent(ctx, agent, &call).await,
        Some(Way::Own(tool)) => own(ctx, tool, call).await,
        Some(Way::Remote) => remote(ctx, &call).await,
        None => {
            let (name, names) = (&call.name, work.toolset.names());
            let text = format!("There is no tool `{name}`; the tools are: {names}.");
            Ok(ToolOutcome::text(name, "", text).failed())
        }
    }
}

async fn in_sandbox(ctx: &Ctx, work: &Arc<Work>, call: &Call) -> polos_sdk::Result<ToolOutcome> {
    let input = match parse(&call.name, &call.arguments) {
        Ok(input) => input,
        Err(refusal) => {
            return Ok(ToolOutcome::text(&call.name, "", refusal.to_string()).failed());
        }
    };
    let reader = ctx.run_id().to_string();
    match input {
        ToolInput::Exec(input) => exec::call(ctx, work, input).await,
        ToolInput::Write(mut request) => {
            request.reader = reader;
            change::call(ctx, work, Change::Write(request)).await
        }
        ToolInput::Edit(mut request) => {
            request.reader = reader;
            change::call(ctx, work, Change::Edit(request)).await
        }
        input => {
            let tool = match &input {
                ToolInput::Read(_) => "read",
                ToolInput::Glob(_) => "glob",
                _ => "grep",
            };
            match input.into_request(&reader) {
                Some(request) => look::call(ctx, work, tool, request).await,
                None => Ok(ToolOutcome::text(tool, "", "nothing to do").failed()),
            }
        }
    }
}

async fn ask_user(ctx: &Ctx, work: &Work, call: &Call) -> polos_sdk::Result<ToolOutcome> {
    let Some(question) = call.arguments["question"].as_str().filter(|text| !text.is_empty()) else {
        return Ok(ToolOutcome::text(ASK_USER, "", "`question` is missing").failed());
    };
    let options = call.arguments["options"].as_array().filter(|options| !options.is_empty());
    let answer_schema = match options {
        Some(options) => json!({ "type": "string", "enum": options }),
        None => json!({ "type": "string" }),
    };
    let approval = Approval {
        title: question.to_owned(),
        subject: json!({ "text": question, "options": options, "agent": work.agent.id }),
        form: Some(answer_schema),
        ..Approval::default()
    };
    let asked = ctx.now();
    let answer = ctx.ask(ASK_USER, approval).for_answer().await;
    work.waited(ctx.now().saturating_sub(asked));
    let answer = answer?;
    let said = match (&answer.value, answer.feedback.as_deref()) {
        (Some(Value::String(text)), _) => text.clone(),
        (Some(value), _) if !value.is_null() => value.to_string(),
        (_, Some(text)) => text.to_owned(),
        _ if answer.approved => "yes".to_owned(),
        _ => "The user does not answer this.".to_owned(),
    };
    let outcome = ToolOutcome::text(ASK_USER, question, said);
    Ok(if answer.approved { outcome } else { outcome.failed() })
}

/// Asks another agent, in a child run.
async fn sub_agent(ctx: &Ctx, agent: &str, call: &Call) -> polos_sdk::Result<ToolOutcome> {
    let Some(prompt) = call.arguments["prompt"].as_str().filter(|text| !text.is_empty()) else {
        return Ok(ToolOutcome::text(agent, "", "`prompt` is missing").failed());
    };
    let about: String = prompt.lines().next().unwrap_or_default().chars().take(120).collect();
    match ctx.call::<Output>(agent, &Input::prompt(prompt)).await {
        Ok(output) => {
            let text = output.output.map_or(output.text, |value| value.to_string());
            Ok(ToolOutcome::text(agent, about, text))
        }
        Err(error) => told(agent, about, error),
    }
}

/// A tool of the worker's own: one step, whose error the model reads.
async fn own(ctx: &Ctx, tool: &Tool, call: Call) -> polos_sdk::Result<ToolOutcome> {
    let (name, body, arguments) = (tool.name.clone(), tool.body.clone(), call.arguments.clone());
    let step = ctx.step_with(&tool.name, move |step: StepContext| {
        let (name, calling) = (name.clone(), body(arguments.clone(), step));
        async move {
            let text = match calling.await? {
                Value::String(text) => text,
                value => value.to_string(),
            };
            Ok(ToolOutcome::text(&name, "", text))
        }
    });
    let step = step.label(TOOL).args(&call.arguments);
    let done = if tool.is_once { step.once().await } else { step.await };
    done.or_else(|error| told(&tool.name, String::new(), error))
}

/// A tool of another worker: a child run, whose error the model reads.
async fn remote(ctx: &Ctx, call: &Call) -> polos_sdk::Result<ToolOutcome> {
    match ctx.call::<Value>(&call.name, &call.arguments).await {
        Ok(Value::String(text)) => Ok(ToolOutcome::text(&call.name, "", text)),
        Ok(value) => Ok(ToolOutcome::text(&call.name, "", value.to_string())),
        Err(error) => told(&call.name, String::new(), error),
    }
}

/// A failure is told to the model; a cancellation is not its business.
fn told(tool: &str, about: String, error: Error) -> polos_sdk::Result<ToolOutcome> {
    match error {
        Error::Failed { failure, .. } => {
            Ok(ToolOutcome::text(tool, about, format!("It failed: {}", failure.message)).failed())
        }
        error => Err(error),
    }
}
