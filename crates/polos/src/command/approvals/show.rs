//! `polos approvals show`: the exact thing that is asked about.

use crate::context::Context;
use crate::exit::Exit;
use crate::show::paint::{Paint, Tone};
use crate::show::{json, moment, text};
use crate::talk;
use anyhow::Result;
use polos_protocol::record::ApprovalKind;
use polos_protocol::rest::{Approval, ApprovalState};
use polos_protocol::{ApprovalId, Millis};
use serde_json::Value;

/// Show what exactly is asked: the command, the diff, the arguments
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The approval
    approval: ApprovalId,
}

pub(crate) async fn run(args: Args, context: &Context) -> Result<Exit> {
    let approval = context.client().await?.approval(args.approval).await?;
    if context.is_json() {
        talk::json(&approval)?;
    } else {
        talk::data(&told(&approval, context.paint(), moment::now()))?;
    }
    Ok(Exit::Done)
}

/// The tone of an approval's state.
pub(crate) fn tone_of(state: ApprovalState) -> Tone {
    match state {
        ApprovalState::Pending => Tone::Attention,
        ApprovalState::Approved => Tone::Good,
        ApprovalState::Rejected => Tone::Bad,
        ApprovalState::Expired | ApprovalState::Withdrawn => Tone::Dim,
    }
}

/// An approval as a person reads it before answering.
pub(crate) fn told(approval: &Approval, paint: Paint, now: Millis) -> String {
    let state = paint.tone(tone_of(approval.state), approval.state.name());
    let title = paint.tone(Tone::Strong, &text::plain(&approval.question.title));
    let mut lines = vec![
        format!("{} {state}", approval.id),
        title,
        format!(
            "asked by {} ({}) at `{}`, {}",
            approval.run,
            text::plain(&approval.workflow),
            text::plain(approval.key.as_str()),
            moment::relative(approval.created_ms, now)
        ),
    ];
    if let Some(deadline) = approval.question.deadline_ms {
        lines.push(format!(
            "expires {} ({})",
            moment::absolute(deadline),
            moment::relative(deadline, now)
        ));
    }
    lines.push(String::new());
    lines.extend(subject(&approval.question.subject));
    if let Some(form) = &approval.question.form {
        lines.push(String::new());
        lines.push(format!("the answer's form: {form}"));
    }
    lines.push(String::new());
    lines.extend(closing(approval));
    lines.join("\n") + "\n"
}

/// The exact thing, laid out by what it is. Nothing of it is cut: what is approved must be seen.
fn subject(subject: &Value) -> Vec<String> {
    let Some(fields) = subject.as_object() else {
        return if subject.is_null() { Vec::new() } else { block(subject) };
    };
    let mut lines = Vec::new();
    for (name, value) in fields {
        lines.push(format!("{name}:"));
        lines.extend(block(value));
    }
    lines
}

fn block(value: &Value) -> Vec<String> {
    let laid_out = match value {
        Value::String(text) => text.clone(),
        other => json::pretty(other).unwrap_or_default(),
    };
    text::plain_lines(&laid_out).lines().map(|line| format!("  {line}")).collect()
}

fn closing(approval: &Approval) -> Vec<String> {
    if let Some(answer) = &approval.answer {
        let said = answer.feedback.as_ref().map(|said| format!(": {}", text::plain(said)));
        let verdict = if answer.approved { "approved" } else { "rejected" };
        let at = moment::absolute(answer.at);
        return vec![format!("{verdict} by {} at {at}{}", answer.by, said.unwrap_or_default())];
    }
    if approval.state != ApprovalState::Pending {
        return Vec::new();
    }
    let id = approval.id;
    match approval.question.kind {
        ApprovalKind::Approval => vec![
            format!("polos approvals approve {id}"),
            format!("polos approvals reject {id} --feedback \"…\""),
        ],
        ApprovalKind::Answer => vec![format!("polos approvals approve {id} --value JSON")],
        ApprovalKind::Settle => vec![
            format!("polos approvals approve {id} --value JSON   # it is done, with this result"),
            format!("polos approvals reject {id}                 # it was not done: run it again"),
        ],
    }
}
