//! Waiting: when nothing runs here, the server is told what the run waits for, and after a while
//! asked to park it.

use crate::replay::request::{Request, Stage};
use crate::replay::{Machine, ScopeId, ScopeKind};
use polos_protocol::frame::{FromWorker, ParkRequest, RunRef, WaitRequest};
use polos_protocol::{Millis, Wait};
use std::collections::{BTreeMap, BTreeSet};

/// What the run waits for, and what the server has been told of it.
#[derive(Debug, Clone)]
pub(crate) struct Waiting {
    wait: Wait,
    park_ms: Millis,
    said: Said,
    /// It is to park as soon as it may.
    is_cool: bool,
}

/// How much of it was said on the present connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Said {
    Nothing,
    Wait,
    Park,
}

impl Waiting {
    pub(crate) fn park_at(&self) -> Option<Millis> {
        (self.said == Said::Wait).then_some(self.park_ms)
    }

    /// The connection is gone, or another stands: what was said on it may be lost.
    pub(crate) fn say_again(&mut self) {
        self.said = Said::Nothing;
    }
}

impl Machine {
    /// Nothing is to be done for the code: says so, if nothing runs either.
    pub(crate) fn rest(&mut self, now: Millis) {
        if self.draining && !self.has_effects() && self.wire.is_quiet() && !self.is_quiet(now) {
            self.give_back();
            return;
        }
        let told = self.waiting.as_ref().is_some_and(|waiting| waiting.said != Said::Nothing);
        if told || !self.is_quiet(now) || !self.admit_orphans() {
            return;
        }
        // A warning about an orphan may have gone out just now.
        if !self.wire.is_quiet() {
            return;
        }
        let Some(wait) = self.wait_tree() else { return };
        let RunRef { run, assignment } = self.run_ref();
        let (seq, n) = (self.have, self.wire.n());
        self.frame(FromWorker::Wait(WaitRequest { run, assignment, seq, n, wait: wait.clone() }));
        let is_cool = self.draining || self.waiting.as_ref().is_some_and(|said| said.is_cool);
        let hot_ms = if is_cool { 0 } else { self.settings.hot_ms };
        let park_ms = now.saturating_add(hot_ms);
        self.waiting = Some(Waiting { wait, park_ms, said: Said::Wait, is_cool });
        self.park_when_cold(now);
    }

    /// If the run waits, it is to park at once, or as soon as the server can be told. If it does
    /// not, or goes on before that, nothing comes of it.
    pub(crate) fn cool(&mut self, now: Millis) {
        if let Some(waiting) = &mut self.waiting {
            waiting.is_cool = true;
            waiting.park_ms = now;
        }
        if self.is_running() {
            self.park_when_cold(now);
        }
    }

    /// What the run waits for, if nothing runs here and nothing will before the server sends
    /// something. What `hello` says of it, so that no slot is counted for it.
    pub fn waits_for(&self) -> Option<&Wait> {
        let waiting = self.waiting.as_ref().filter(|_| self.is_running())?;
        Some(&waiting.wait)
    }

    fn is_quiet(&self, now: Millis) -> bool {
        let hot_until = now.saturating_add(self.settings.hot_ms);
        self.is_caught_up()
            && self.fresh.is_empty()
            && self.wire.is_quiet()
            && !self.blobs.is_busy()
            && self.requests.values().all(|request| match &request.stage {
                Stage::Opened | Stage::Settling(_) | Stage::Done => true,
                Stage::Backoff(at) | Stage::Doubt(at) => *at > hot_until,
                Stage::Fresh
                | Stage::Gate(_)
                | Stage::Running(_)
                | Stage::Verifying(_)
                | Stage::Sent
                | Stage::Recorded => false,
            })
    }

    pub(crate) fn has_effects(&self) -> bool {
        let runs = |r: &Request| matches!(r.stage, Stage::Running(_) | Stage::Verifying(_));
        self.requests.values().any(runs)
    }

    pub(crate) fn park_when_cold(&mut self, now: Millis) {
        let Some(waiting) = &mut self.waiting else { return };
        if waiting.said != Said::Wait || waiting.park_ms > now {
            return;
        }
        waiting.said = Said::Park;
        let wait = waiting.wait.clone();
        let RunRef { run, assignment } = self.run_ref();
        let (seq, n) = (self.have, self.wire.n());
        self.frame(FromWorker::Park(ParkRequest { run, assignment, seq, n, wait }));
    }

    /// What would let the code go on, as a tree along the code's own branches. Handles that the
    /// code does not await (no waker) are left out.
    pub(crate) fn wait_tree(&self) -> Option<Wait> {
        let mut leaves: BTreeMap<ScopeId, Vec<(Wait, bool)>> = BTreeMap::new();
        let mut inner: BTreeMap<ScopeId, BTreeSet<ScopeId>> = BTreeMap::new();
        for request in self.requests.values() {
            let Some(leaf) = leaf(request) else { continue };
            leaves.entry(request.awaited_in).or_default().push((leaf, request.direct));
            let mut scope = request.awaited_in;
            while let Some(parent) = self.scopes.get(scope).and_then(|scope| scope.parent) {
                if !inner.entry(parent).or_default().insert(scope) {
                    break;
                }
                scope = parent;
            }
        }
        self.subtree(ScopeId::ROOT, &mut leaves, &inner).map(|(wait, _)| wait)
    }

    /// The tree of a scope, and whether it is a single outcome with no code of its own behind it.
    fn subtree(
        &self,
        scope: ScopeId,
        leaves: &mut BTreeMap<ScopeId, Vec<(Wait, bool)>>,
        inner: &BTreeMap<ScopeId, BTreeSet<ScopeId>>,
    ) -> Option<(Wait, bool)> {
        let mut parts = leaves.remove(&scope).unwrap_or_default();
        for child in inner.get(&scope).into_iter().flatten() {
            parts.extend(self.subtree(*child, leaves, inner));
        }
        let kind = self.scopes.get(scope).map_or(ScopeKind::Sequence, |scope| scope.kind);
        if kind == ScopeKind::All && parts.iter().all(|(_, silent)| *silent) {
            let waits: Vec<Wait> = parts.into_iter().map(|(wait, _)| wait).collect();
            return join(waits, Wait::All).map(|wait| (wait, false));
        }
        if kind == ScopeKind::All {
            parts.retain(|(_, silent)| !silent);
        }
        if parts.len() == 1 && kind == ScopeKind::Sequence {
            return parts.pop();
        }
        let waits: Vec<Wait> = parts.into_iter().map(|(wait, _)| wait).collect();
        join(waits, Wait::First).map(|wait| (wait, false))
    }
}

fn join(mut waits: Vec<Wait>, many: fn(Vec<Wait>) -> Wait) -> Option<Wait> {
    if waits.len() > 1 { Some(many(waits)) } else { waits.pop() }
}

fn leaf(request: &Request) -> Option<Wait> {
    match &request.stage {
        Stage::Opened if request.waker.is_some() => Some(Wait::Key(request.key.clone())),
        Stage::Settling(question) => Some(Wait::Key(question.clone())),
        Stage::Backoff(at) | Stage::Doubt(at) => Some(Wait::Until(*at)),
        _ => None,
    }
}

impl Machine {
    /// True if the code waits for something that the machine knows.
    pub(crate) fn is_awaited(&self) -> bool {
        self.requests.values().any(|request| request.waker.is_some())
    }
}
