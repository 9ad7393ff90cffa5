//! Questions put at the terminal, and their answers sent back.

use crate::command::approvals::show;
use crate::exit::Problem;
use crate::show::moment;
use crate::show::paint::Paint;
use crate::{prompt, talk};
use anyhow::Result;
use polos_protocol::record::ApprovalKind;
use polos_protocol::rest::{Approval, ApprovalState, DecideRequest};
use polos_protocol::{RunId, StepKey};
use polos_sdk::client::{ApprovalsQuery, Client};

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
    talk::say(&show::told(approval, Paint::for_stderr(), moment::now()));
    let question = approval.question.clone();
    let answer = tokio::task::spawn_blocking(move || answer(question.kind, &question.scopes));
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
fn answer(kind: ApprovalKind, scopes: &[String]) -> Result<Option<DecideRequest>> {
    match kind {
        ApprovalKind::Approval => verdict(scopes),
        ApprovalKind::Answer => {
            let said = prompt::ask("answer (empty: leave it open) > ")?.unwrap_or_default();
            Ok((!said.is_empty()).then(|| answered(&said)))
        }
        ApprovalKind::Settle => settled(),
    }
}

/// A yes with its reach, or a no with its reason.
fn verdict(scopes: &[String]) -> Result<Option<DecideRequest>> {
    let mut ways = vec!["[y]es"];
    ways.extend(scopes.iter().map(String::as_str));
    let ways = ways.join(", ");
    let question = format!("approve? {ways}, [n]o, or say what to do instead > ");
    let Some(said) = prompt::ask(&question)? else { return Ok(None) };
    Ok(match said.trim() {
        "" => None,
        "y" | "yes" => Some(yes(None)),
        "n" | "no" => {
            let why = prompt::ask("why not, and what instead? > ")?;
            Some(no(why.filter(|why| !why.trim().is_empty())))
        }
        scope if scopes.iter().any(|known| known == scope) => Some(yes(Some(scope.to_owned()))),
        instead => Some(no(Some(instead.to_owned()))),
    })
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
