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

/// An approval as a person reads it, with the ways to answer or the answer that it has.
pub(crate) fn told(approval: &Approval, paint: Paint, now: Millis) -> String {
    let mut lines = vec![asked(approval, paint, now), String::new()];
    lines.extend(closing(approval));
    lines.join("\n") + "\n"
}

/// What is asked, as a person reads it before answering.
pub(crate) fn asked(approval: &Approval, paint: Paint, now: Millis) -> String {
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
        lines.extend(form_lines(form));
    }
    lines.join("\n")
}

/// What an answer may hold, by its JSON Schema.
fn form_lines(form: &Value) -> Vec<String> {
    let Some(properties) = form.get("properties").and_then(Value::as_object) else {
        return vec![format!("the answer is JSON that fits {form}")];
    };
    let mut lines = vec!["the answer may hold (`--value JSON`)".to_owned()];
    lines.extend(properties.iter().map(|(name, property)| {
        let kind = property.get("type").and_then(Value::as_str).unwrap_or("any");
        let about = property.get("description").and_then(Value::as_str);
        let about = about.map(|about| format!(": {about}")).unwrap_or_default();
        format!("  {} ({}){}", text::plain(name), text::plain(kind), text::plain(&about))
    }));
    lines
}

/// The exact thing, laid out by what it is. Nothing of it is cut: what is approved must be seen.
fn subject(subject: &Value) -> Vec<String> {
    let Some(fields) = subject.as_object() else {
        return if subject.is_null() { Vec::new() } else { block(subject) };
    };
    let mut lines = Vec::new();
    for (name, value) in fields.iter().filter(|(_, value)| !value.is_null()) {
        let name = text::plain(name);
        match value {
            Value::Bool(_) | Value::Number(_) => lines.push(format!("{name}: {value}")),
            Value::Array(items) => {
                lines.push(format!("{name}:"));
                lines.extend(items.iter().flat_map(item));
            }
            value => {
                lines.push(format!("{name}:"));
                lines.extend(block(value));
            }
        }
    }
    lines
}

/// An item of a list: a text, or a text with a reason, on a line of its own.
fn item(value: &Value) -> Vec<String> {
    let text = match value {
        Value::String(text) => Some((text.as_str(), None)),
        Value::Object(fields) if fields.keys().all(|key| ["text", "reason"].contains(&&**key)) => {
            let of = |name: &str| fields.get(name).and_then(Value::as_str);
            of("text").map(|text| (text, of("reason")))
        }
        _ => None,
    };
    let Some((text, reason)) = text.filter(|(text, _)| !text.contains('\n')) else {
        return block(value);
    };
    let reason = reason.map(|reason| format!("   ({reason})")).unwrap_or_default();
    vec![text::plain(&format!("  - {text}{reason}"))]
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

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_subject_is_laid_out_by_what_it_is_and_nothing_of_it_is_cut() {
        let command = json!({
            "command": "ls && rm x",
            "cwd": null,
            "dry": false,
            "runs": [{ "text": "ls" }, { "text": "rm x", "reason": "not in the list" }, { "n": 1 }],
        });
        insta::assert_snapshot!(subject(&command).join("\n"), @r#"
        command:
          ls && rm x
        dry: false
        runs:
          - ls
          - rm x   (not in the list)
          {
            "n": 1
          }
        "#);
    }

    #[test]
    fn a_form_is_told_by_its_fields() {
        let form =
            json!({ "properties": { "command": { "type": "string", "description": "Instead" } } });
        assert_eq!(form_lines(&form)[1], "  command (string): Instead");
        assert_eq!(
            form_lines(&json!({"type": "string"}))[0],
            r#"the answer is JSON that fits {"type":"string"}"#
        );
    }
}
