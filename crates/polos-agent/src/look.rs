//! The tools that only look: read, glob and grep. They are repeatable steps.

use std::sync::Arc;

use polos_llm::{Block, ImageSource};
use polos_sandbox::policy::{FileOperation, FileVerdict};
use polos_sandbox::toolbox::message::{ReadContent, Reply, Request};
use polos_sandbox::toolbox::tools::text_of;
use polos_sdk::{Approval, Ctx};
use serde_json::json;

use crate::exec::{refused, rejected};
use crate::recorded::{TOOL, ToolOutcome};
use crate::work::Work;

/// Carries out a call of one of the tools.
pub(crate) async fn call(
    ctx: &Ctx,
    work: &Arc<Work>,
    tool: &'static str,
    request: Request,
) -> polos_sdk::Result<ToolOutcome> {
    let about = about(&request);
    let policy = work.agent.sandbox.file_policy();
    match policy.check(FileOperation::Read, path_of(&request)) {
        FileVerdict::Allow => {}
        FileVerdict::Deny { reason } => return Ok(ToolOutcome::text(tool, about, reason).failed()),
        FileVerdict::Ask { reason } => {
            let answer = ask(ctx, work, tool, &about, &reason).await?;
            if !answer.approved {
                return Ok(rejected(tool, &about, &answer));
            }
        }
    }
    let work = work.clone();
    ctx.step(tool, move || {
        let (work, request, about) = (work.clone(), request.clone(), about.clone());
        async move {
            let sandbox = work.desk.open().await?;
            match sandbox.request(request).await {
                Ok(reply) => Ok(outcome(tool, about, reply)),
                Err(error) => refused(tool, &about, error),
            }
        }
    })
    .label(TOOL)
    .await
}

async fn ask(
    ctx: &Ctx,
    work: &Work,
    tool: &str,
    about: &str,
    reason: &str,
) -> polos_sdk::Result<polos_sdk::Answer> {
    let approval = Approval {
        title: format!("`{}` wants to {tool} `{about}`", work.agent.id),
        subject: json!({ "text": format!("{tool} {about}"), "reason": reason }),
        subject_hash: polos_sdk::replay::fingerprint(&(tool, about)).ok().map(|h| h.to_string()),
        ..Approval::default()
    };
    let asked = ctx.now();
    let answer = ctx.ask("approve", approval).await;
    work.waited(ctx.now().saturating_sub(asked));
    answer
}

fn outcome(tool: &str, about: String, reply: Reply) -> ToolOutcome {
    let text = text_of(&reply);
    let mut outcome = ToolOutcome::text(tool, about, text);
    if let Reply::Read(read) = reply
        && let ReadContent::Image { media_type, base64 } = read.content
    {
        let source = ImageSource::Base64 { media_type, data: base64 };
        outcome.content.push(Block::Image { source });
    }
    outcome
}

fn path_of(request: &Request) -> &str {
    let path = match request {
        Request::Read(request) => Some(request.path.as_str()),
        Request::Glob(request) => request.path.as_deref(),
        Request::Grep(request) => request.path.as_deref(),
        _ => None,
    };
    path.unwrap_or(".")
}

/// What the call is about, in one line.
fn about(request: &Request) -> String {
    let within = |pattern: &str, path: &Option<String>| match path {
        Some(path) => format!("{pattern} in {path}"),
        None => pattern.to_owned(),
    };
    match request {
        Request::Read(request) => request.path.clone(),
        Request::Glob(request) => within(&request.pattern, &request.path),
        Request::Grep(request) => within(&request.pattern, &request.path),
        _ => String::new(),
    }
}
