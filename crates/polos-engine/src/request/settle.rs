//! Settle a `once` step in doubt: a person says how it ended.

use super::{Caller, wrong_state};
use crate::engine::Engine;
use crate::error::{Class, Error};
use crate::journal::OpenWait;
use polos_protocol::frame::Settled;
use polos_protocol::record::ApprovalKind;
use polos_protocol::rest::{DecideRequest, SettleRequest, VerbResponse};
use polos_protocol::{ApprovalId, RunId, State, StepKey};
use polos_store::Read;

impl Engine {
    pub(super) fn settle(
        &mut self,
        caller: Caller<'_>,
        id: RunId,
        request: SettleRequest,
        store: &dyn Read,
    ) -> Result<VerbResponse, Error> {
        if request.done.is_some() == request.not_done {
            let message = "say either that it is done, with its result, or that it is not done";
            return Err(Error::new(
                Class::Invalid,
                "bad_settle",
                message,
                "`--done JSON` or `--not-done`",
            ));
        }
        let state = self.runs[&id].run.status.state;
        if state.is_ended() {
            return Err(wrong_state(id, state, "an ended run has nothing in doubt"));
        }
        let step = request.step.clone();
        if let Some(approval) = self.settle_question(caller, id, &step, store)? {
            let value = match &request.done {
                Some(done) => Some(done.parse().map_err(|error| {
                    Error::new(
                        Class::Invalid,
                        "bad_settle",
                        format!("the result does not read: {error}"),
                        "",
                    )
                })?),
                None => None,
            };
            let decision = DecideRequest {
                approved: request.done.is_some(),
                value,
                ..DecideRequest::default()
            };
            self.decide(caller, approval, decision, store)?;
            return Ok(self.done(id, format!("`{step}` is settled")));
        }
        if !self.runs[&id].journal.in_doubt().contains(&step) {
            let message = format!("run `{id}` has no step `{step}` in doubt");
            return Err(Error::new(
                Class::NotFound,
                "not_in_doubt",
                message,
                format!("`polos runs show {id}` lists its steps"),
            ));
        }
        self.say_verb(id, "settled", caller.principal, Some(step.to_string()));
        if let Some(live) = self.runs.get_mut(&id) {
            let done = request.done.map(polos_protocol::Json::into_value);
            live.run.status.settled.push(Settled {
                key: step.clone(),
                done,
                by: caller.principal.to_owned(),
            });
            live.run.status.blocked = None;
        }
        self.mark_dirty(id);
        if state == State::Blocked {
            self.make_ready(id);
        }
        Ok(self.done(id, format!("`{step}` is settled")))
    }

    /// The open question about a step in doubt, if the run's code asked it.
    fn settle_question(
        &self,
        caller: Caller<'_>,
        id: RunId,
        step: &StepKey,
        store: &dyn Read,
    ) -> Result<Option<ApprovalId>, Error> {
        let approvals: Vec<ApprovalId> = self.runs[&id]
            .journal
            .opens
            .values()
            .filter_map(
                |open| if let OpenWait::Approval { id, .. } = open { Some(*id) } else { None },
            )
            .collect();
        for approval in approvals {
            if let Some(row) = self.overlay.approval(caller.namespace, approval, store)?
                && row.approval.question.kind == ApprovalKind::Settle
                && row.approval.question.subject.get("step").and_then(|s| s.as_str())
                    == Some(step.as_str())
            {
                return Ok(Some(approval));
            }
        }
        Ok(None)
    }
}
