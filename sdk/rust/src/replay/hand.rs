//! Handing outcomes to the code: in the journal's order, one at a time.

use crate::replay::journal::{Item, Sort};
use crate::replay::request::{Request, Stage};
use crate::replay::{Machine, Outcome, RequestId, What};
use polos_protocol::record::Open;
use polos_protocol::{Failure, Kind, Millis, Value};

/// Whose turn it is.
enum Turn {
    /// Nobody asks for it, or ever will.
    Nobody,
    /// This request.
    Request(RequestId),
    /// The machine's own question about the step of this request.
    Question(RequestId),
    /// The code has not asked for it yet.
    Unasked,
}

impl Machine {
    /// Hands the next outcome to its request, when the code is idle. `false` means that nothing is
    /// there to be handed: the code stays idle, and what it asked for is begun.
    pub fn hand_next(&mut self, now: Millis) -> bool {
        while self.is_running() {
            if let Some(seq) = self.journal.ready.first().copied() {
                let Some(item) = self.journal.held.get(&seq) else {
                    self.journal.ready.pop_first();
                    continue;
                };
                let item = item.clone();
                if !self.has_value(&item) {
                    return false;
                }
                self.journal.ready.pop_first();
                self.journal.held.remove(&seq);
                if self.hand(item, now) {
                    return true;
                }
                continue;
            }
            let Some(front) = self.journal.queue.front() else {
                return false;
            };
            if front.kind != Kind::Cancel && !self.has_front_value() {
                return false;
            }
            let Some(item) = self.journal.queue.pop_front() else { return false };
            if self.hand(item, now) {
                return true;
            }
        }
        false
    }

    fn has_front_value(&mut self) -> bool {
        let Some(item) = self.journal.queue.front() else { return true };
        if item.value.as_ref().is_none_or(|value| value.reference().is_none()) {
            return true;
        }
        let item = item.clone();
        self.prefetch();
        self.has_value(&item)
    }

    fn has_value(&mut self, item: &Item) -> bool {
        item.value.as_ref().is_none_or(|value| self.resolve_value(value).is_some())
    }

    /// True if the code has something to do now.
    fn hand(&mut self, item: Item, now: Millis) -> bool {
        if item.kind == Kind::Cancel {
            return self.raise_cancel(&item, now);
        }
        match self.turn(&item) {
            Turn::Nobody => false,
            Turn::Request(id) => self.hand_to(id, item),
            Turn::Question(id) => {
                self.settled_by_person(id, &item, now);
                false
            }
            Turn::Unasked => {
                self.set_aside(item);
                false
            }
        }
    }

    fn turn(&self, item: &Item) -> Turn {
        if let Some(id) = item.request {
            let open = self.requests.get(&id).is_some_and(|request| request.outcome.is_none());
            return if open { Turn::Request(id) } else { Turn::Nobody };
        }
        let Some(slot) = self.journal.slots.get(&item.key) else { return Turn::Nobody };
        if slot.lost {
            return Turn::Nobody;
        }
        match slot.request {
            // That the question was asked is nobody's news; its answer is.
            Some(_) if slot.sort == Sort::Settle && item.kind == Kind::Open => Turn::Nobody,
            Some(id) if slot.sort == Sort::Settle => self.question_turn(id, &item.key),
            Some(id) => Turn::Request(id),
            None => Turn::Unasked,
        }
    }

    /// The answer is the step's whose doubt the question is about, while it still waits for it.
    fn question_turn(&self, id: RequestId, key: &polos_protocol::StepKey) -> Turn {
        let waits = |request: &Request| matches!(&request.stage, Stage::Settling(k) if k == key);
        if self.requests.get(&id).is_some_and(waits) { Turn::Question(id) } else { Turn::Nobody }
    }

    fn hand_to(&mut self, id: RequestId, item: Item) -> bool {
        let value = item.value.as_ref().and_then(|value| self.resolve_value(value));
        let Some(request) = self.requests.get_mut(&id) else { return false };
        self.handed_bytes += value.as_ref().map_or(0, Value::size);
        if item.kind == Kind::Open {
            let detached = matches!(&request.what,
                What::Open(spec) if matches!(&spec.open, Open::Child(child) if child.detached));
            if !request.is_handle() {
                return false;
            }
            request.opened = true;
            if detached {
                request.outcome = Some(Outcome::Value(Value::null()));
            }
        } else {
            request.outcome = Some(match item.error {
                Some(failure) => Outcome::Failed(failure),
                None => Outcome::Value(value.unwrap_or_default()),
            });
        }
        request.wake();
        let ended = request.outcome.is_some();
        if ended {
            request.stage = Stage::Done;
        }
        let (scope, name, key) = (request.scope, request.name.clone(), request.key.clone());
        self.scopes.release(scope, &name);
        if ended {
            self.journal.slots.remove(&key);
        }
        self.forget_value(item.value.as_ref());
        self.advance(item.seq, item.at, item.inserted);
        true
    }

    /// The code's place and time move on; what a newer build inserted does not move its time.
    pub(crate) fn advance(&mut self, seq: u64, at: Millis, inserted: bool) {
        self.handed = self.handed.max(seq);
        if !inserted {
            self.code_ms = self.code_ms.max(at);
        }
    }

    /// Takes back a request: its branch lost a race, so its outcome interests nobody.
    pub fn lose(&mut self, id: RequestId) {
        let Some(request) = self.requests.remove(&id) else { return };
        self.stop_effect(&request.stage);
        self.timed.retain(|(_, other), ()| *other != id);
        self.scopes.release(request.scope, &request.name);
        if request.outcome.is_some() || !self.is_running() {
            return;
        }
        let never_sent = request.stage == Stage::Fresh && request.spec().is_none();
        if let Some(slot) = self.journal.slots.get_mut(&request.key) {
            slot.lost = true;
            slot.request = None;
        }
        if !never_sent && !self.journal.lost.contains(&request.key) {
            self.submit_lost(&request);
        }
    }

    pub(crate) fn submit_lost(&mut self, request: &Request) {
        let mut record =
            polos_protocol::NewRecord::new(0, Kind::Lost, request.key.clone(), self.handed);
        if request.may_have_acted() {
            let detail = serde_json::json!({ "in_doubt": true });
            record = match record.clone().with_detail(&detail) {
                Ok(detailed) => detailed,
                Err(_) => record,
            };
            record.error = Some(Failure::new(
                polos_protocol::failure::codes::STEP_IN_DOUBT,
                format!("once step `{}` was given up while it may have been acting", request.key),
            ));
        }
        self.submit(record, None);
        if let Stage::Settling(question) = &request.stage {
            self.withdraw(question.clone());
        }
    }

    /// The machine's question to a person needs no answer any more.
    pub(crate) fn withdraw(&mut self, question: polos_protocol::StepKey) {
        let record = polos_protocol::NewRecord::new(0, Kind::Lost, question, self.handed);
        self.submit(record, None);
    }

    /// An outcome that the code has not asked for, though it is idle: with the build that wrote
    /// it that cannot be, with another it is kept until the code asks.
    fn set_aside(&mut self, item: Item) {
        let question =
            self.journal.slots.get(&item.key).is_some_and(|slot| slot.sort == Sort::Settle);
        let own = self.is_own(&item.key) && !self.is_accepted(&item.key) && !question;
        if own {
            self.block_unasked();
        } else {
            self.journal.hold(item);
        }
    }
}
