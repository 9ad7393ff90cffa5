//! The way out: numbering, keeping and sending records again until they are durable.

use crate::replay::journal::{Item, Slot, Sort};
use crate::replay::request::Stage;
use crate::replay::{Machine, Output, RequestId, What};
use polos_protocol::frame::{FromWorker, Kept, RunRecords};
use polos_protocol::{Kind, Millis, NewRecord, StepKey, Value};
use std::collections::VecDeque;

/// What has been sent and is not known to be durable.
#[derive(Debug)]
pub(crate) struct Wire {
    n: u64,
    unacknowledged: VecDeque<Sent>,
    /// Numbered and not yet handed out.
    batch: Vec<NewRecord>,
    /// False between a lost connection and `welcome`.
    attached: bool,
    /// The journal's end that must be reached before anything is sent again.
    catch_up: Option<Kept>,
    /// False once the lease has ended unheard: no effect may begin.
    pub(crate) may_start: bool,
}

#[derive(Debug)]
struct Sent {
    record: NewRecord,
    request: Option<RequestId>,
    /// The value itself, where the record only refers to it.
    local: Option<Value>,
    inserted: bool,
}

impl Wire {
    pub(crate) fn new() -> Self {
        Self {
            n: 0,
            unacknowledged: VecDeque::new(),
            batch: Vec::new(),
            attached: true,
            catch_up: None,
            may_start: true,
        }
    }

    pub(crate) fn attach(&mut self, kept: &Kept) {
        self.attached = true;
        self.may_start = true;
        self.catch_up = Some(kept.clone());
    }

    pub(crate) fn detach(&mut self) {
        self.attached = false;
        self.batch.clear();
    }

    pub(crate) fn n(&self) -> u64 {
        self.n
    }

    pub(crate) fn is_quiet(&self) -> bool {
        self.unacknowledged.is_empty() && self.can_send()
    }

    pub(crate) fn can_send(&self) -> bool {
        self.attached && self.catch_up.is_none()
    }
}

impl Machine {
    /// Numbers a record, keeps it until it is durable, and sends it.
    pub(crate) fn submit(&mut self, record: NewRecord, request: Option<RequestId>) {
        self.submit_with(record, request, None);
    }

    pub(crate) fn submit_with(
        &mut self,
        mut record: NewRecord,
        request: Option<RequestId>,
        local: Option<Value>,
    ) {
        self.waiting = None;
        self.wire.n += 1;
        record.n = self.wire.n;
        if self.wire.can_send() {
            self.wire.batch.push(record.clone());
        }
        let inserted =
            request.and_then(|id| self.requests.get(&id)).is_some_and(|request| request.inserted);
        self.wire.unacknowledged.push_back(Sent { record, request, local, inserted });
    }

    /// Sends a frame, after the records submitted before it.
    pub(crate) fn frame(&mut self, frame: FromWorker) {
        self.flush();
        if self.wire.attached {
            self.out.push_back(Output::Frame(frame));
        }
    }

    pub(crate) fn flush(&mut self) {
        if self.wire.batch.is_empty() {
            return;
        }
        let records = std::mem::take(&mut self.wire.batch);
        let (run, assignment) = (self.start.run, self.start.assignment);
        self.out.push_back(Output::Records(RunRecords { run, assignment, records }));
    }

    /// Record `n` is durable at `seq`, and the unacknowledged ones before it right before it.
    pub fn recorded(&mut self, n: u64, seq: u64, at: Millis, now: Millis) {
        let pending = self.wire.unacknowledged.iter().take_while(|sent| sent.record.n <= n).count();
        if pending == 0 || self.is_gone() {
            return;
        }
        let before = seq.saturating_sub(pending as u64);
        if self.have != before {
            // Something of the server's own lies between: it is asked for, and acknowledges too.
            self.ask_more();
            return;
        }
        for offset in 1..=pending as u64 {
            self.acknowledge_front(before + offset, at, now);
        }
        self.have = seq;
        self.resend_if_caught_up();
    }

    pub(crate) fn acknowledge_one(&mut self, n: u64, seq: u64, at: Millis, now: Millis) {
        while self.wire.unacknowledged.front().is_some_and(|sent| sent.record.n < n) {
            // It was acknowledged by a record that this process had already seen.
            self.wire.unacknowledged.pop_front();
        }
        if self.wire.unacknowledged.front().is_some_and(|sent| sent.record.n == n) {
            self.acknowledge_front(seq, at, now);
        }
    }

    fn acknowledge_front(&mut self, seq: u64, at: Millis, now: Millis) {
        let Some(Sent { record, request, local, inserted }) = self.wire.unacknowledged.pop_front()
        else {
            return;
        };
        match record.kind {
            Kind::Step | Kind::Emit | Kind::Open => {
                if record.kind == Kind::Open {
                    self.opened(&record, request, seq);
                } else {
                    self.set_stage(request, Stage::Recorded);
                }
                self.journal.queue.push_back(Item {
                    seq,
                    at,
                    kind: record.kind,
                    value: local.or(record.value),
                    error: record.error.map(Box::new),
                    key: record.key,
                    inserted,
                    request,
                });
            }
            Kind::Intent | Kind::Attempt => self.open_gate(request, now),
            _ => {}
        }
    }

    /// A wait is open: its outcome comes under its key.
    fn opened(&mut self, record: &NewRecord, request: Option<RequestId>, seq: u64) {
        let Some(id) = request else { return };
        let Some(request) = self.requests.get_mut(&id) else {
            self.close_late(&record.key);
            return;
        };
        if request.outcome.is_some() {
            self.close_late(&record.key);
            return;
        }
        request.stage = Stage::Opened;
        let What::Open(spec) = &request.what else { return };
        let mut slot = Slot::new(seq, None, Sort::of(&spec.open));
        slot.request = Some(id);
        self.journal.slots.insert(record.key.clone(), slot);
    }

    /// It was given up before it was open: its outcome interests nobody.
    fn close_late(&mut self, key: &StepKey) {
        let mut slot = Slot::new(0, None, Sort::Timer);
        slot.lost = true;
        self.journal.slots.insert(key.clone(), slot);
    }

    fn set_stage(&mut self, request: Option<RequestId>, stage: Stage) {
        if let Some(request) = request.and_then(|id| self.requests.get_mut(&id))
            && request.outcome.is_none()
        {
            request.stage = stage;
        }
    }

    /// After a re-attachment: once the journal is known up to where the server said, everything
    /// that it lacks is sent again.
    pub(crate) fn resend_if_caught_up(&mut self) {
        let Some(kept) = &self.wire.catch_up else { return };
        if self.have < kept.seq || !self.is_loaded() {
            return;
        }
        let durable = kept.n;
        self.wire.catch_up = None;
        let again = self.wire.unacknowledged.iter().filter(|sent| sent.record.n > durable);
        self.wire.batch = again.map(|sent| sent.record.clone()).collect();
        self.repeat_ending();
    }
}
