//! `once` steps in doubt: nobody knows whether the effect happened. A verification settles it, or
//! a person does; it is never blindly repeated.

use crate::replay::derive;
use crate::replay::journal::{Intent, Item, SETTLED_BY_VERB, SETTLED_NOT_DONE, Slot, Sort};
use crate::replay::request::{EffectKind, EffectOutcome, Request, Stage};
use crate::replay::{Machine, RequestId, Verdict};
use polos_protocol::failure::codes;
use polos_protocol::frame::Settled;
use polos_protocol::record::{Answer, ApprovalKind, Open, OpenApproval};
use polos_protocol::{Blocked, Failure, Kind, Millis, NewRecord, StepKey, Value};

/// The name of the question under the step's key.
const QUESTION: &str = "settle";

impl Machine {
    /// On replay: an intent without an outcome. If a person is being asked already, their answer
    /// comes in its place in the journal; otherwise the doubt is settled when the code is idle.
    pub(crate) fn look_up_question(&mut self, id: RequestId, request: &mut Request) {
        let used = self.journal.slots.get(&request.key).map_or(0, |slot| slot.settled_used);
        let is_asked =
            |nth: u32| self.journal.slots.contains_key(&request.key.child(QUESTION, nth));
        request.settles = (1..u32::MAX).take_while(|nth| is_asked(*nth)).last().unwrap_or(0);
        if request.settles > used && self.settled_by_verb(&request.key).is_none() {
            let question = request.key.child(QUESTION, request.settles);
            self.journal.asked(&question, id);
            request.stage = Stage::Settling(question);
        } else {
            self.fresh.push(id);
        }
    }

    /// A doubt from an earlier assignment: that one, and each after it, may still be acting until
    /// its lease and the step's time limit have ended, unless its process is known to be gone, or
    /// the receiver keeps late comers out by itself.
    pub(crate) fn doubt_recorded(&mut self, id: RequestId, intent: Intent, now: Millis) {
        let spec = self.requests.get(&id).and_then(Request::spec);
        let is_fenced = spec.is_some_and(|spec| spec.is_fenced);
        let at = match self.lease_end_since(intent.assignment) {
            Some(lease_end_ms) if !is_fenced => lease_end_ms.saturating_add(intent.timeout_ms),
            _ => now,
        };
        self.doubt(id, at, now);
    }

    /// When the last lease ends under which something begun in this assignment, or after it, may
    /// still be acting.
    fn lease_end_since(&self, assignment: u64) -> Option<Millis> {
        let start = &self.start;
        if start.lost.is_empty() {
            // A server that does not tell assignments apart speaks of all together.
            return start.previous.filter(|previous| !previous.dead).map(|p| p.lease_end_ms);
        }
        let since = start.lost.iter().filter(|lost| lost.assignment >= assignment);
        since.map(|lost| lost.lease_end_ms).max()
    }

    /// The step is in doubt, and is to be settled at a time.
    pub(crate) fn doubt(&mut self, id: RequestId, at: Millis, now: Millis) {
        if let Some(request) = self.requests.get_mut(&id) {
            request.stage = Stage::Doubt(at);
        }
        if at <= now && self.wire.may_start {
            self.settle_doubt(id, now);
        } else {
            self.timed.insert((at, id), ());
        }
    }

    pub(crate) fn settle_doubt(&mut self, id: RequestId, now: Millis) {
        let Some(request) = self.requests.get(&id) else { return };
        if let Some(settled) = self.settled_by_verb(&request.key) {
            self.follow_verb(id, settled, now);
        } else if request.spec().is_some_and(|spec| spec.has_verify) {
            self.begin(id, EffectKind::Verify);
        } else {
            self.ask_person(id);
        }
    }

    /// A person's word by `polos runs settle` that has not been followed yet.
    fn settled_by_verb(&self, key: &StepKey) -> Option<Settled> {
        let used = self.journal.slots.get(key).map_or(0, |slot| slot.verbs_used);
        self.start.settled.iter().filter(|settled| settled.key == *key).nth(used as usize).cloned()
    }

    fn follow_verb(&mut self, id: RequestId, settled: Settled, now: Millis) {
        if let Some(value) = settled.done {
            self.submit_step(id, Some(value), None, None, Some(settled.by));
            return;
        }
        let Some(request) = self.requests.get(&id) else { return };
        let key = request.key.clone();
        if let Some(slot) = self.journal.slots.get_mut(&key) {
            slot.verbs_used += 1;
        }
        let message = format!("`{}` says that it was not done", settled.by);
        self.try_again(id, &Failure::new(SETTLED_BY_VERB, message), None, now);
    }

    /// The world's answer.
    pub(crate) fn verified(&mut self, id: RequestId, outcome: EffectOutcome, now: Millis) {
        match outcome {
            EffectOutcome::Verified(Verdict::Done(value)) => {
                self.submit_step(id, Some(value), None, None, Some("verify".to_owned()));
            }
            EffectOutcome::Verified(Verdict::NotDone) => self.verified_not_done(id, now),
            EffectOutcome::Verified(Verdict::Unknown) | EffectOutcome::Failed(_) => {
                self.ask_person(id);
            }
            EffectOutcome::Value(_) => {}
        }
    }

    /// It surely did not happen: it runs again, unless its own errors have used up its attempts.
    fn verified_not_done(&mut self, id: RequestId, now: Millis) {
        let Some(request) = self.requests.get_mut(&id) else { return };
        let cause = request.cause.take();
        let attempts = request.spec().map_or(1, |spec| spec.retry.attempts);
        match cause {
            Some(failure) if request.attempt >= attempts || failure.terminal => {
                self.submit_step(id, None, Some(*failure), None, Some("verify".to_owned()));
            }
            Some(failure) => {
                let wait = request.spec().map_or(0, |spec| spec.retry.initial_ms);
                self.try_again(id, &failure, None, now.saturating_add(wait));
            }
            None => {
                let failure = Failure::new("not_done", "`verify` found that it was not done");
                self.try_again(id, &failure, None, now);
            }
        }
    }

    fn ask_person(&mut self, id: RequestId) {
        let generation = self.start.key_generation;
        let Some(request) = self.requests.get_mut(&id) else { return };
        request.settles += 1;
        let question = request.key.child(QUESTION, request.settles);
        request.stage = Stage::Settling(question.clone());
        let open = Open::Approval(OpenApproval {
            title: format!("did `{}` go through?", request.key),
            kind: ApprovalKind::Settle,
            subject: serde_json::json!({
                "step": request.key,
                "idempotency_key":
                    derive::idempotency_key(self.start.run, &request.key, generation),
                "arguments": request.spec().and_then(|spec| spec.args.as_ref()?.to_json()),
                "error": request.cause,
            }),
            ..OpenApproval::default()
        });
        let mut slot = Slot::new(0, None, Sort::Settle);
        slot.request = Some(id);
        self.journal.slots.insert(question.clone(), slot);
        let record = NewRecord::new(0, Kind::Open, question, request.after);
        match record.with_detail(&open) {
            Ok(record) => self.submit(record, None),
            Err(cause) => self.block_unreadable(&cause),
        }
    }

    /// The person's answer has its turn.
    pub(crate) fn settled_by_person(&mut self, id: RequestId, item: &Item, now: Millis) {
        let answer = item.value.as_ref().and_then(|value| value.parse::<Answer>().ok());
        let Some(answer) = answer else {
            self.block_in_doubt(id, item.error.as_deref().cloned());
            return;
        };
        if !answer.approved {
            let message = format!("`{}` says that it was not done", answer.by);
            self.try_again(id, &Failure::new(SETTLED_NOT_DONE, message), None, now);
            return;
        }
        let value = answer.value.as_ref().map(Value::from_serialize).transpose();
        match value {
            Ok(value) => {
                let value = value.unwrap_or_default();
                self.submit_step(id, Some(value), None, None, Some(answer.by));
            }
            Err(cause) => self.block_unreadable(&cause),
        }
    }

    fn block_in_doubt(&mut self, id: RequestId, failure: Option<Failure>) {
        let Some(request) = self.requests.get(&id) else { return };
        let key = request.key.clone();
        self.block(Blocked {
            code: codes::STEP_IN_DOUBT.to_owned(),
            message: format!("nobody has said whether once step `{key}` went through"),
            hint: format!("`polos runs settle RUN '{key}' --done JSON` or `--not-done`"),
            step: Some(key.as_str().to_owned()),
            difference: None,
            failure,
            since: 0,
        });
    }

    /// Nothing was heard for the lease: effects are stopped and none begins until the connection
    /// stands again. What may repeat then begins again; a `once` step is in doubt.
    pub fn lease_lost(&mut self, now: Millis) {
        self.wire.may_start = false;
        let running: Vec<RequestId> = self
            .requests
            .iter()
            .filter(|(_, r)| matches!(r.stage, Stage::Running(_) | Stage::Verifying(_)))
            .map(|(id, _)| *id)
            .collect();
        for id in running {
            let Some(request) = self.requests.get_mut(&id) else { continue };
            let stage = request.stage.clone();
            let once = request.is_once();
            self.stop_effect(&stage);
            if once {
                self.doubt(id, 0, now);
            } else {
                self.back_off(id, 0);
            }
        }
    }
}
