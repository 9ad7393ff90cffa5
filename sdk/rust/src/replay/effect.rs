//! Effects: beginning them, taking their reports, trying again.

#![expect(clippy::needless_pass_by_value, reason = "the value is spent here")]
#![expect(clippy::too_many_arguments, reason = "each part comes from another place")]

use crate::replay::blobs::fits_inline;
use crate::replay::derive;
use crate::replay::request::{
    Begin, EffectId, EffectKind, EffectOutcome, EffectReport, Fault, Request, Stage,
};
use crate::replay::{Machine, OpenSpec, Output, RequestId, What};
use polos_protocol::frame::{BusyRequest, FromWorker};
use polos_protocol::record::{AttemptDetail, Effect, IntentDetail, Open, StepDetail};
use polos_protocol::{Failure, Kind, Millis, NewRecord, Value, limits};

impl Machine {
    /// The code is idle and nothing is there to be handed: begins what it asked for, then says
    /// what it waits for.
    pub fn settle(&mut self, now: Millis) {
        if !self.is_running() {
            return;
        }
        if !self.fresh.is_empty() && self.is_caught_up() && !self.draining {
            let fresh = std::mem::take(&mut self.fresh);
            if !self.admit_insertions(&fresh) {
                return;
            }
            for id in fresh {
                self.set_going(id, now);
            }
        }
        self.rest(now);
    }

    /// True if all outcomes that the journal holds for the code have been handed to it.
    pub(crate) fn is_caught_up(&self) -> bool {
        self.journal.queue.is_empty() && self.journal.ready.is_empty()
    }

    fn set_going(&mut self, id: RequestId, now: Millis) {
        let Some(request) = self.requests.get(&id) else { return };
        if request.outcome.is_some() || request.stage != Stage::Fresh {
            return;
        }
        match &request.what {
            What::Step(_) => self.set_step_going(id, now),
            What::Open(spec) => {
                let spec = spec.clone();
                self.submit_open(id, &spec);
            }
            What::Emit { detail, payload } => {
                let record = NewRecord::new(0, Kind::Emit, request.key.clone(), request.after);
                let (detail, payload) = (detail.clone(), payload.clone());
                if let Ok(mut record) = record.with_detail(&detail) {
                    record.requested_ms = Some(request.requested_ms);
                    self.mark_sent(id);
                    self.submit_valued(record, Some(id), *payload);
                }
            }
        }
    }

    fn set_step_going(&mut self, id: RequestId, now: Millis) {
        let Some(request) = self.requests.get(&id) else { return };
        let slot = self.journal.slots.get(&request.key);
        if let Some(intent) = slot.and_then(|slot| slot.intent) {
            self.doubt_recorded(id, intent, now);
            return;
        }
        let due = slot.map_or(0, |slot| slot.next_ms);
        if due > now {
            self.back_off(id, due);
        } else if request.is_once() {
            self.submit_intent(id);
        } else {
            self.begin(id, EffectKind::Attempt);
        }
    }

    fn submit_open(&mut self, id: RequestId, spec: &OpenSpec) {
        let Some(request) = self.requests.get(&id) else { return };
        let record = NewRecord::new(0, Kind::Open, request.key.clone(), request.after);
        let mut record = record;
        record.fingerprint.clone_from(&spec.fingerprint);
        record.requested_ms = Some(request.requested_ms);
        if let Open::Child(child) = &spec.open
            && !fits_inline(&child.input)
        {
            self.mark_sent(id);
            return self.submit_child(record, id, child.clone());
        }
        match record.with_detail(&spec.open) {
            Ok(record) => {
                self.mark_sent(id);
                self.submit(record, Some(id));
            }
            Err(cause) => self.block_unreadable(&cause),
        }
    }

    fn mark_sent(&mut self, id: RequestId) {
        if let Some(request) = self.requests.get_mut(&id) {
            request.stage = Stage::Sent;
        }
    }

    fn submit_intent(&mut self, id: RequestId) {
        let Some(request) = self.requests.get_mut(&id) else { return };
        let Some(spec) = request.spec().cloned() else { return };
        request.stage = Stage::Gate(0);
        let generation = self.start.key_generation;
        let detail = IntentDetail {
            timeout_ms: spec.timeout_ms,
            idempotency_key: derive::idempotency_key(self.start.run, &request.key, generation),
            label: spec.label.as_deref().map(str::to_owned),
            has_verify: spec.has_verify,
        };
        let record = NewRecord::new(0, Kind::Intent, request.key.clone(), request.after);
        if let Ok(mut record) = record.with_detail(&detail) {
            record.attempt = request.attempt;
            record.fingerprint.clone_from(&spec.fingerprint);
            record.requested_ms = Some(request.requested_ms);
            self.submit(record, Some(id));
        }
    }

    /// An intent or an attempt is durable: what waited for it goes on.
    pub(crate) fn open_gate(&mut self, id: Option<RequestId>, now: Millis) {
        let Some(id) = id else { return };
        let Some(request) = self.requests.get_mut(&id) else { return };
        let Stage::Gate(due) = request.stage else { return };
        request.intended = true;
        if due > now {
            self.back_off(id, due);
        } else {
            self.begin(id, EffectKind::Attempt);
        }
    }

    /// Begins an effect, unless the lease has ended unheard: then it begins after re-attachment.
    pub(crate) fn begin(&mut self, id: RequestId, kind: EffectKind) {
        if !self.wire.may_start {
            self.back_off(id, 0);
            return;
        }
        let effect = EffectId(self.next_effect);
        let Some(request) = self.requests.get_mut(&id) else { return };
        let Some(spec) = request.spec().cloned() else { return };
        self.next_effect += 1;
        request.stage = match kind {
            EffectKind::Attempt => Stage::Running(effect),
            EffectKind::Verify => Stage::Verifying(effect),
        };
        let begin = Begin {
            effect,
            request: id,
            key: request.key.clone(),
            kind,
            attempt: request.attempt,
            timeout_ms: spec.timeout_ms,
            once: spec.effect == Effect::Once,
        };
        self.waiting = None;
        if spec.timeout_ms > self.settings.step_timeout_ms {
            let (run, assignment) = (self.start.run, self.start.assignment);
            let for_ms = spec.timeout_ms;
            self.frame(FromWorker::Busy(BusyRequest { run, assignment, for_ms }));
        }
        self.out.push_back(Output::Begin(begin));
    }

    /// How an effect ended.
    pub fn report(&mut self, id: RequestId, effect: EffectId, report: EffectReport, now: Millis) {
        if !self.is_running() {
            return;
        }
        let Some(request) = self.requests.get(&id) else { return };
        match (&request.stage, report.outcome.clone()) {
            (Stage::Running(running), EffectOutcome::Value(value)) if *running == effect => {
                self.submit_step(id, Some(value), None, Some(&report), None);
            }
            (Stage::Running(running), EffectOutcome::Failed(fault)) if *running == effect => {
                self.attempt_failed(id, fault, &report, now);
            }
            (Stage::Verifying(running), outcome) if *running == effect => {
                self.verified(id, outcome, now);
            }
            _ => {}
        }
    }

    fn attempt_failed(&mut self, id: RequestId, fault: Fault, report: &EffectReport, now: Millis) {
        let Some(request) = self.requests.get_mut(&id) else { return };
        if request.is_once() && !fault.not_done {
            request.cause = Some(Box::new(fault.failure));
            self.doubt(id, now, now);
            return;
        }
        let Some(spec) = request.spec() else { return };
        let again = fault.retryable
            && !fault.failure.terminal
            && request.attempt < spec.retry.attempts
            && !spec.retry.not_on.contains(&fault.failure.code);
        if again {
            let drawn = derive::chance(
                &self.start.seed,
                request.key.as_str(),
                "jitter",
                u64::from(request.attempt),
            );
            let unit = derive::unit(derive::number(&drawn));
            let wait = spec.retry.delay_ms(request.attempt, unit, fault.retry_after_ms);
            self.try_again(id, &fault.failure, Some(report), now.saturating_add(wait));
        } else {
            self.submit_step(id, None, Some(fault.failure), Some(report), None);
        }
    }

    /// Journals a failed attempt and waits for the next one.
    pub(crate) fn try_again(
        &mut self,
        id: RequestId,
        failure: &Failure,
        report: Option<&EffectReport>,
        due: Millis,
    ) {
        let Some(request) = self.requests.get_mut(&id) else { return };
        let attempt = request.attempt;
        let mut detail = AttemptDetail { attempt, next_ms: due, message: None };
        request.attempt += 1;
        let once = request.is_once();
        let wait = due.saturating_sub(report.map_or(due, |report| report.ended_ms));
        // A wait that parks must be found again; and what must not be repeated blindly goes on
        // only when the reason for another attempt is durable.
        let journaled =
            attempt <= limits::ATTEMPTS_JOURNALED || once || wait > self.settings.hot_ms;
        if !journaled {
            detail.message = Some(failure.message.clone());
            if request.unjournaled.len() >= limits::ATTEMPTS_JOURNALED as usize {
                request.unjournaled.pop_front();
            }
            request.unjournaled.push_back(detail);
            self.back_off(id, due);
            return;
        }
        let record = NewRecord::new(0, Kind::Attempt, request.key.clone(), request.after);
        let Ok(mut record) = record.with_detail(&detail) else { return };
        record.attempt = attempt;
        record.error = Some(failure.clone());
        record.started_ms = report.map(|report| report.started_ms);
        record.ended_ms = report.map(|report| report.ended_ms);
        if once {
            request.stage = Stage::Gate(due);
            self.submit(record, Some(id));
        } else {
            self.submit(record, None);
            self.back_off(id, due);
        }
    }

    pub(crate) fn back_off(&mut self, id: RequestId, due: Millis) {
        if let Some(request) = self.requests.get_mut(&id) {
            request.stage = Stage::Backoff(due);
            self.timed.insert((due, id), ());
        }
    }

    /// Sends the outcome of a step to the journal.
    pub(crate) fn submit_step(
        &mut self,
        id: RequestId,
        value: Option<Value>,
        error: Option<Failure>,
        report: Option<&EffectReport>,
        settled_by: Option<String>,
    ) {
        let Some(request) = self.requests.get_mut(&id) else { return };
        request.stage = Stage::Sent;
        let mut record = NewRecord::new(0, Kind::Step, request.key.clone(), request.after);
        record.attempt = request.attempt;
        record.error = error;
        record.requested_ms = Some(request.requested_ms);
        record.started_ms = report.map(|report| report.started_ms);
        record.ended_ms = report.map(|report| report.ended_ms);
        record.fingerprint = request.spec().and_then(|spec| spec.fingerprint.clone());
        let detail = step_detail(request, report, settled_by);
        if detail != StepDetail::default() {
            record = match record.clone().with_detail(&detail) {
                Ok(detailed) => detailed,
                Err(_) => record,
            };
        }
        match value {
            Some(value) => self.submit_valued(record, Some(id), value),
            None => self.submit(record, Some(id)),
        }
    }

    /// Times have come: backoffs end, doubts are settled.
    pub(crate) fn wake_timed(&mut self, now: Millis) {
        while self.wire.may_start
            && let Some(((at, id), ())) = self.timed.first_key_value()
            && *at <= now
        {
            let (at, id) = (*at, *id);
            self.timed.pop_first();
            match self.requests.get(&id).map(|request| request.stage.clone()) {
                Some(Stage::Backoff(due)) if due == at => self.resume_backoff(id),
                Some(Stage::Doubt(due)) if due == at => self.settle_doubt(id, now),
                _ => {}
            }
        }
    }

    fn resume_backoff(&mut self, id: RequestId) {
        let Some(request) = self.requests.get(&id) else { return };
        if request.is_once() && !request.intended {
            self.submit_intent(id);
        } else {
            self.begin(id, EffectKind::Attempt);
        }
    }

    pub(crate) fn stop_effect(&mut self, stage: &Stage) {
        if let Stage::Running(effect) | Stage::Verifying(effect) = stage {
            self.out.push_back(Output::Stop(*effect));
        }
    }

    pub(crate) fn stop_all(&mut self) {
        let stages: Vec<Stage> = self.requests.values().map(|r| r.stage.clone()).collect();
        for stage in &stages {
            self.stop_effect(stage);
        }
    }
}

fn step_detail(
    request: &Request,
    report: Option<&EffectReport>,
    settled_by: Option<String>,
) -> StepDetail {
    let spec = request.spec();
    StepDetail {
        label: spec.and_then(|spec| spec.label.as_deref().map(str::to_owned)),
        effect: spec.map_or(Effect::Repeatable, |spec| spec.effect),
        inserted: request.inserted,
        settled_by,
        last_attempts: request.unjournaled.iter().cloned().collect(),
        cost_micros: report.and_then(|report| report.cost_micros),
        tokens: report.and_then(|report| report.tokens),
    }
}
