//! Cancellation: an entry at a place in the journal, raised at the awaits that stand open there.

use crate::replay::journal::Item;
use crate::replay::request::Stage;
use crate::replay::{Machine, Outcome, RequestId, ScopeId};
use polos_protocol::{Failure, Millis};

/// The run is being cancelled.
#[derive(Debug, Clone)]
pub(crate) struct Cancel {
    pub(crate) failure: Failure,
    /// When cleanup must have ended.
    pub(crate) deadline_ms: Millis,
}

impl Machine {
    /// Why the run is being cancelled, once the code has come to that place.
    pub fn cancelled(&self) -> Option<&Failure> {
        self.cancel.as_ref().map(|cancel| &cancel.failure)
    }

    pub(crate) fn raise_cancel(&mut self, item: &Item, now: Millis) -> bool {
        if self.cancel.is_some() {
            return false;
        }
        let failure = match &item.error {
            Some(failure) => (**failure).clone(),
            None => Failure::new("cancelled", "the run was cancelled"),
        };
        let deadline_ms = now.max(item.at).saturating_add(self.settings.cleanup_ms);
        self.cancel = Some(Cancel { failure: failure.clone(), deadline_ms });
        let open: Vec<RequestId> = self
            .requests
            .iter()
            .filter(|(_, r)| r.outcome.is_none() && !self.is_shielded(r.scope))
            .map(|(id, _)| *id)
            .collect();
        for id in open {
            self.cancel_request(id, &failure);
        }
        self.advance(item.seq, item.at, false);
        true
    }

    fn cancel_request(&mut self, id: RequestId, failure: &Failure) {
        let Some(mut request) = self.requests.remove(&id) else { return };
        self.stop_effect(&request.stage);
        if let Some(slot) = self.journal.slots.get_mut(&request.key) {
            slot.lost = true;
        }
        if request.may_have_acted() && !self.journal.lost.contains(&request.key) {
            self.submit_lost(&request);
        }
        self.scopes.release(request.scope, &request.name);
        request.outcome = Some(Outcome::Cancelled(Box::new(failure.clone())));
        request.stage = Stage::Done;
        request.wake();
        self.requests.insert(id, request);
    }

    fn is_shielded(&self, scope: ScopeId) -> bool {
        self.scopes.get(scope).is_some_and(|scope| scope.shielded)
    }

    /// After the cancellation only cleanup may ask for anything.
    pub(crate) fn refuse_after_cancel(&self, scope: ScopeId) -> Option<Failure> {
        let cancel = self.cancel.as_ref()?;
        (!self.is_shielded(scope)).then(|| cancel.failure.clone())
    }

    /// Cleanup has had its time.
    pub(crate) fn end_cleanup(&mut self, now: Millis) {
        let late = self.cancel.as_ref().filter(|cancel| cancel.deadline_ms <= now);
        if let Some(mut failure) = late.map(|cancel| cancel.failure.clone()) {
            "cancelled".clone_into(&mut failure.code);
            self.fail(failure, None);
        }
    }
}
