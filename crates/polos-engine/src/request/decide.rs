//! Decide an approval: once, by anyone entitled; the answer and the waking are one command.

use super::Caller;
use crate::engine::Engine;
use crate::error::{Class, Error};
use crate::resolve::Outcome;
use polos_protocol::record::Answer;
use polos_protocol::rest::{Approval, ApprovalState, DecideRequest};
use polos_protocol::{ApprovalId, Value};
use polos_store::row::{ApprovalRow, AuditRow};
use polos_store::{Change, Check, Read};

impl Engine {
    pub(super) fn decide(
        &mut self,
        caller: Caller<'_>,
        id: ApprovalId,
        request: DecideRequest,
        store: &dyn Read,
    ) -> Result<Approval, Error> {
        let Some(row) = self.overlay.approval(caller.namespace, id, store)? else {
            return Err(Error::not_found("approval", id));
        };
        let mut approval = row.approval;
        if let Some(before) = check(&approval, caller.principal, &request)? {
            return Ok(before);
        }
        let answer = Answer {
            approval: id,
            approved: request.approved,
            feedback: request.feedback,
            value: request.value,
            scope: request.scope,
            by: caller.principal.to_owned(),
            at: self.now,
        };
        approval.state =
            if answer.approved { ApprovalState::Approved } else { ApprovalState::Rejected };
        approval.answer = Some(answer.clone());
        self.require(Check::ApprovalPending(id));
        self.put_approval(ApprovalRow {
            namespace: caller.namespace.clone(),
            approval: approval.clone(),
        });
        let detail = serde_json::to_value(&answer).unwrap_or_default();
        self.change(Change::InsertAudit(AuditRow {
            namespace: caller.namespace.clone(),
            at: self.now,
            principal: caller.principal.to_owned(),
            action: if answer.approved { "approve" } else { "reject" }.to_owned(),
            target: id.to_string(),
            detail,
        }));
        if self.bring(caller.namespace, approval.run, store)? {
            let value = Value::from_serialize(&answer).unwrap_or_default();
            self.resolve(approval.run, &approval.key, Outcome::done("approval", value), store)?;
        }
        Ok(approval)
    }
}

/// Whether the decision may be taken; the same decision again gives what it gave before.
fn check(
    approval: &Approval,
    principal: &str,
    request: &DecideRequest,
) -> Result<Option<Approval>, Error> {
    let id = approval.id;
    if let Some(answer) = &approval.answer {
        if answer.by == principal
            && answer.approved == request.approved
            && answer.feedback == request.feedback
            && answer.value == request.value
            && answer.scope == request.scope
        {
            return Ok(Some(approval.clone()));
        }
        let message =
            format!("approval `{id}` was {} by {} already", approval.state.name(), answer.by);
        return Err(Error::new(Class::Conflict, "already_decided", message, ""));
    }
    if approval.state != ApprovalState::Pending {
        let message = format!("approval `{id}` is {}", approval.state.name());
        return Err(Error::new(
            Class::Conflict,
            "not_pending",
            message,
            "its run does not wait for it any more",
        ));
    }
    if let Some(seen) = &request.subject_hash
        && approval.question.subject_hash.as_ref() != Some(seen)
    {
        let message = format!("what you saw is not what approval `{id}` asks now");
        return Err(Error::new(
            Class::Conflict,
            "subject_changed",
            message,
            "look at it again, then decide",
        ));
    }
    let assignees = &approval.question.assignees;
    if !assignees.is_empty() && !assignees.iter().any(|name| name == principal) {
        let message = format!("`{principal}` may not answer approval `{id}`");
        return Err(Error::new(
            Class::Forbidden,
            "not_entitled",
            message,
            format!("ask {}", assignees.join(", ")),
        ));
    }
    check_scope(approval, request.scope.as_deref())?;
    Ok(None)
}

/// An answer reaches only as far as the question offers.
fn check_scope(approval: &Approval, scope: Option<&str>) -> Result<(), Error> {
    let offered = &approval.question.scopes;
    match scope {
        None | Some("once") => Ok(()),
        Some(scope) if offered.iter().any(|name| name == scope) => Ok(()),
        Some(scope) => {
            let message = format!("approval `{}` offers no scope `{scope}`", approval.id);
            let names: Vec<_> = offered.iter().map(|name| format!(", `{name}`")).collect();
            let hint = format!("it offers `once`{}", names.concat());
            Err(Error::new(Class::Invalid, "scope_not_offered", message, hint))
        }
    }
}
