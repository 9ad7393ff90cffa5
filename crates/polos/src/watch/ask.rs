//! Questions put at the terminal, and their answers sent back.

use crate::command::approvals::show;
use crate::exit::Problem;
use crate::show::paint::Paint;
use crate::show::{json, moment};
use crate::{prompt, talk};
use anyhow::Result;
use polos_protocol::record::{ApprovalKind, OpenApproval};
use polos_protocol::rest::{Approval, ApprovalState, DecideRequest};
use polos_protocol::{RunId, StepKey};
use polos_sdk::client::{ApprovalsQuery, Client};
use serde_json::Value;

/// The approval that waits at a step, if it still does.
pub(super) async fn pending(
    client: &Client,
    run: RunId,
    key: &StepKey,
) -> Result<Option<Approval>> {
    let query = ApprovalsQuery { run: Some(run), ..ApprovalsQuery::default() };
    let approvals = client.approvals(&query).await?.items;
    let waits = |a: &Approval| a.state == ApprovalState::Pending && a.key == *key;
    Ok(approvals.into_iter().find(waits))
}

/// Shows the question, asks, and sends the answer. An empty line leaves it open.
pub(super) async fn put(client: &Client, approval: &Approval) -> Result<()> {
    talk::say(&show::asked(approval, Paint::for_stderr(), moment::now()));
    talk::say("");
    let question = approval.question.clone();
    let answer = tokio::task::spawn_blocking(move || answer(&question));
    let Some(mut request) = answer.await?? else {
        talk::say(&format!("left open: polos approvals approve {}", approval.id));
        return Ok(());
    };
    request.subject_hash = approval.question.subject_hash.clone();
    match client.decide(approval.id, &request).await {
        Ok(decided) => talk::say(&format!("{} {}", decided.id, decided.state.name())),
        Err(error) => talk::say(&format!("not accepted: {error}")),
    }
    Ok(())
}

/// What the person says; nothing if they leave it open.
fn answer(question: &OpenApproval) -> Result<Option<DecideRequest>> {
    match question.kind {
        ApprovalKind::Approval => verdict(question),
        ApprovalKind::Answer => {
            let said = prompt::ask("answer (empty: leave it open) > ")?.unwrap_or_default();
            Ok((!said.is_empty()).then(|| answered(&said)))
        }
        ApprovalKind::Settle => settled(),
    }
}

/// A yes with its reach, a yes to something else, or a no with its reason.
fn verdict(question: &OpenApproval) -> Result<Option<DecideRequest>> {
    let scopes: Vec<_> = question.scopes.iter().filter(|scope| *scope != "once").collect();
    let fields = editable(question);
    let mut ways = vec!["[y]es".to_owned()];
    ways.extend(scopes.iter().map(|scope| format!("yes for the [{scope}]")));
    ways.extend((!fields.is_empty()).then(|| "[e]dit".to_owned()));
    let ways = ways.join(", ");
    let asked = format!("approve? {ways}, [n]o, or say what to do instead > ");
    let Some(said) = prompt::ask(&asked)? else { return Ok(None) };
    Ok(match said.trim() {
        "" => None,
        "y" | "yes" => Some(yes(None)),
        "n" | "no" => {
            let why = prompt::ask("why not, and what instead? > ")?;
            Some(no(why.filter(|why| !why.trim().is_empty())))
        }
        "e" | "edit" if !fields.is_empty() => edited(&fields)?,
        scope if scopes.iter().any(|known| *known == scope) => Some(yes(Some(scope.to_owned()))),
        instead => Some(no(Some(instead.to_owned()))),
    })
}

/// What may be changed, as far as it is text: the form's fields, with what stands there now.
fn editable(question: &OpenApproval) -> Vec<(String, String)> {
    let form = question.form.as_ref().and_then(|form| form.get("properties"));
    let fields = form.and_then(Value::as_object).into_iter().flatten();
    let texts = fields.filter(|(_, field)| field["type"] == "string");
    texts
        .map(|(name, _)| {
            let now = question.subject[name.as_str()].as_str().unwrap_or_default();
            (name.clone(), now.to_owned())
        })
        .collect()
}

/// A yes to other arguments; nothing if none was changed.
fn edited(fields: &[(String, String)]) -> Result<Option<DecideRequest>> {
    let mut value = serde_json::Map::new();
    for (name, now) in fields {
        let asked = format!("{name} (empty: `{}`) > ", json::brief(now, 60));
        let said = prompt::ask(&asked)?.unwrap_or_default();
        if !said.is_empty() {
            value.insert(name.clone(), said.into());
        }
    }
    let value = (!value.is_empty()).then_some(Value::Object(value));
    Ok(value.map(|value| DecideRequest {
        approved: true,
        value: Some(value),
        ..DecideRequest::default()
    }))
}

fn settled() -> Result<Option<DecideRequest>> {
    let Some(said) = prompt::ask("did it go through? [y]es, [n]o (empty: leave it open) > ")?
    else {
        return Ok(None);
    };
    match said.trim() {
        "y" | "yes" => {
            let json = prompt::ask("its result, as JSON (empty: null) > ")?.unwrap_or_default();
            let json = if json.trim().is_empty() { "null" } else { json.as_str() };
            let value = serde_json::from_str(json).map_err(|cause| {
                Problem::usage(
                    format!("the result is not JSON: {cause}"),
                    "answer again with `polos runs settle`",
                )
            })?;
            Ok(Some(DecideRequest {
                approved: true,
                value: Some(value),
                ..DecideRequest::default()
            }))
        }
        "n" | "no" => Ok(Some(no(None))),
        _ => Ok(None),
    }
}

/// An answer is JSON if it reads as JSON, and a text otherwise.
fn answered(said: &str) -> DecideRequest {
    let value = serde_json::from_str(said).unwrap_or_else(|_| said.into());
    DecideRequest { approved: true, value: Some(value), ..DecideRequest::default() }
}

fn yes(scope: Option<String>) -> DecideRequest {
    DecideRequest { approved: true, scope, ..DecideRequest::default() }
}

fn no(feedback: Option<String>) -> DecideRequest {
    DecideRequest { feedback, ..DecideRequest::default() }
}
