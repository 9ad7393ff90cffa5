//! The code asks: keys are made, the journal is looked up, changed code is noticed.

use crate::replay::journal::{Slot, Sort};
use crate::replay::request::{Request, Stage};
use crate::replay::{Ask, FingerprintPolicy, Machine, Outcome, RequestId, What};
use polos_protocol::{Failure, Millis, StepKey};
use std::collections::VecDeque;
use std::sync::Arc;

impl Machine {
    /// Takes a request of the code. Its outcome comes from [`Self::take`], when its turn in the
    /// journal's order has come.
    pub fn ask(&mut self, ask: Ask, now: Millis) -> RequestId {
        let id = RequestId(self.next_request);
        self.next_request += 1;
        let (key, ambiguous) = self.scopes.take(ask.scope, &ask.name);
        let key = self.renamed(&ask, key);
        if ambiguous {
            self.block_ambiguous(&ask, &key);
        }
        let mut request = Request {
            key,
            scope: ask.scope,
            name: ask.name,
            direct: ask.direct,
            awaited_in: ask.scope,
            what: ask.what,
            stage: Stage::Fresh,
            inserted: false,
            after: self.handed,
            requested_ms: now,
            attempt: 1,
            unjournaled: VecDeque::new(),
            cause: None,
            intended: false,
            settles: 0,
            opened: false,
            outcome: None,
            waker: None,
        };
        if let Some(failure) = self.refuse_after_cancel(ask.scope) {
            request.outcome = Some(Outcome::Cancelled(Box::new(failure)));
            request.stage = Stage::Done;
            self.scopes.release(request.scope, &request.name);
        } else {
            self.look_up(id, &mut request);
        }
        self.requests.insert(id, request);
        id
    }

    /// Hands the outcome of a request to the code, once.
    pub fn take(&mut self, id: RequestId) -> Option<Outcome> {
        self.requests.get(&id)?.outcome.as_ref()?;
        self.requests.remove(&id)?.outcome
    }

    /// True once the opening of a handle has been handed to the code.
    pub fn is_opened(&self, id: RequestId) -> bool {
        self.requests.get(&id).is_some_and(|request| request.opened || request.outcome.is_some())
    }

    /// Takes back a handle whose opening was cut short by a cancellation.
    pub fn taken_if_cancelled(&mut self, id: RequestId) -> Option<Box<Failure>> {
        let request = self.requests.get(&id)?;
        if request.opened {
            return None;
        }
        match self.take(id)? {
            Outcome::Cancelled(failure) => Some(failure),
            Outcome::Value(_) | Outcome::Failed(_) => None,
        }
    }

    /// The code awaits a handle as an item of `all`, or by itself.
    pub fn set_direct(&mut self, id: RequestId, direct: bool) {
        if let Some(request) = self.requests.get_mut(&id) {
            request.direct = direct;
        }
    }

    /// The key of a request that the code still has.
    pub fn key(&self, id: RequestId) -> Option<&StepKey> {
        self.requests.get(&id).map(|request| &request.key)
    }

    /// A step under a new name takes what is recorded under its old one.
    fn renamed(&mut self, ask: &Ask, key: StepKey) -> StepKey {
        let Some(was) = &ask.was else { return key };
        let old = self.scopes.take_silently(ask.scope, was);
        let is_free = |slot: &Slot| slot.request.is_none();
        if !self.journal.slots.contains_key(&key)
            && self.journal.slots.get(&old).is_some_and(is_free)
        {
            return old;
        }
        key
    }

    fn look_up(&mut self, id: RequestId, request: &mut Request) {
        let Some(slot) = self.journal.slots.get(&request.key) else {
            self.fresh.push(id);
            return;
        };
        let wanted = sort_of(&request.what);
        if slot.sort != wanted {
            let recorded = slot.describe(&request.key);
            self.block_other_sort(request, recorded);
            return;
        }
        let asked = fingerprint_of(&request.what);
        if let (Some(recorded), Some((asked, policy))) = (slot.fingerprint.clone(), asked)
            && recorded != asked
        {
            self.mismatched(request, policy, [&recorded, &asked]);
        }
        let Some(slot) = self.journal.slots.get(&request.key) else { return };
        request.inserted = slot.inserted;
        request.attempt = slot.attempts + 1;
        if slot.has_outcome {
            request.stage = Stage::Recorded;
        } else if wanted != Sort::Step {
            request.stage = Stage::Opened;
        } else if slot.intent.is_some() {
            request.intended = true;
            self.look_up_question(id, request);
        } else {
            self.fresh.push(id);
        }
        self.journal.asked(&request.key, id);
    }
}

fn sort_of(what: &What) -> Sort {
    match what {
        What::Step(_) => Sort::Step,
        What::Open(spec) => Sort::of(&spec.open),
        What::Emit { .. } => Sort::Emit,
    }
}

fn fingerprint_of(what: &What) -> Option<(Arc<str>, FingerprintPolicy)> {
    match what {
        What::Step(spec) => spec.fingerprint.clone().map(|print| (print, spec.on_mismatch)),
        What::Open(spec) => spec.fingerprint.clone().map(|print| (print, spec.on_mismatch)),
        What::Emit { .. } => None,
    }
}
