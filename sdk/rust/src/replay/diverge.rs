//! Where code and journal disagree: what is said, and whether the run may go on.

use crate::replay::journal::removed_note;
use crate::replay::request::{Request, Stage};
use crate::replay::{Ask, FingerprintPolicy, Machine, RequestId};
use polos_protocol::failure::{Difference, codes};
use polos_protocol::record::Marker;
use polos_protocol::{Blocked, Kind, NewRecord, StepKey};

/// How many lines of each side a difference shows.
const LINES_MAX: usize = 40;

const CODE_HINT: &str = "declare what changed with `.was(\"old name\")`, `ctx.removed(\"name\")` or \
     `ctx.patched(\"id\")`, or bring back the build that recorded the run, then `polos runs resume RUN`; \
     `polos runs resume RUN --accept` goes on as it is";

impl Machine {
    /// True if what is recorded under the key was written by this very build.
    pub(crate) fn is_own(&self, key: &StepKey) -> bool {
        let build = self.journal.slots.get(key).and_then(|slot| slot.build.as_deref());
        build == Some(&*self.settings.build)
    }

    pub(crate) fn is_accepted(&self, key: &StepKey) -> bool {
        self.start.accepted.contains(key)
    }

    /// Requests that the journal does not know, while recorded ones are unasked: insertions by a
    /// newer build. True if they may go on.
    pub(crate) fn admit_insertions(&mut self, fresh: &[RequestId]) -> bool {
        self.drop_lost_unasked();
        if self.journal.unasked.is_empty() {
            return true;
        }
        let mut own = self.journal.unasked.values().filter(|key| self.is_own(key));
        if own.any(|key| !self.is_accepted(key)) && !fresh.iter().all(|id| self.accepts(*id)) {
            self.block_unasked();
            return false;
        }
        for id in fresh {
            let Some(request) = self.requests.get(id) else { continue };
            let grave = request.is_once() || request.is_child();
            if request.stage != Stage::Fresh || self.journal.slots.contains_key(&request.key) {
                continue;
            }
            if grave && !self.is_accepted(&request.key) {
                let message = format!(
                    "{} is asked for before steps that were recorded by another build",
                    request.describe()
                );
                let key = request.key.clone();
                self.block_difference(&key, message);
                return false;
            }
            if let Some(request) = self.requests.get_mut(id) {
                tracing::info!(key = %request.key, "inserted before recorded steps");
                request.inserted = true;
            }
        }
        true
    }

    fn accepts(&self, id: RequestId) -> bool {
        self.requests.get(&id).is_some_and(|request| self.is_accepted(&request.key))
    }

    /// Recorded requests that the code has not made, in the journal's order.
    pub(crate) fn unasked(&mut self) -> Vec<StepKey> {
        self.drop_lost_unasked();
        self.journal.unasked.values().cloned().collect()
    }

    fn drop_lost_unasked(&mut self) {
        let slots = &self.journal.slots;
        self.journal.unasked.retain(|_, key| slots.get(key).is_some_and(|slot| !slot.lost));
    }

    /// At park or end: recorded steps that the code never asked for. True if they may be left.
    pub(crate) fn admit_orphans(&mut self) -> bool {
        self.drop_lost_unasked();
        let orphans: Vec<StepKey> = self.journal.unasked.values().cloned().collect();
        for key in orphans {
            let Some(slot) = self.journal.slots.get(&key) else { continue };
            if self.is_accepted(&key) || self.journal.noted.contains(key.as_str()) {
                continue;
            }
            if self.is_own(&key) && !self.journal.lost.contains(&key) {
                self.block_unasked();
                return false;
            }
            if slot.is_grave() {
                self.block_orphan(&key);
                return false;
            }
            tracing::warn!(key = %key, "recorded step was never asked for");
            self.journal.noted.insert(key.as_str().to_owned());
            self.submit_marker(key.clone(), &Marker::Orphaned(key.as_str().to_owned()));
        }
        true
    }

    pub(crate) fn submit_marker(&mut self, key: StepKey, marker: &Marker) {
        if let Ok(record) = NewRecord::new(0, Kind::Marker, key, self.handed).with_detail(marker) {
            self.submit(record, None);
        }
    }

    /// Recorded steps of this name in this scope are not asked for any more.
    pub(crate) fn drop_removed(&mut self, scope: &StepKey, name: &str) -> bool {
        let first = scope.child(name, 1);
        let is_gone = |key: &StepKey| {
            key == &first
                || key.is_within(&first)
                || key
                    .as_str()
                    .strip_prefix(first.as_str())
                    .is_some_and(|rest| rest.starts_with('#'))
        };
        let before = self.journal.unasked.len();
        self.journal.unasked.retain(|_, key| !is_gone(key));
        for (key, slot) in &mut self.journal.slots {
            if slot.request.is_none() && is_gone(key) {
                slot.lost = true;
            }
        }
        self.journal.queue.retain(|item| !is_gone(&item.key));
        let dropped = before != self.journal.unasked.len();
        dropped && self.journal.noted.insert(removed_note(scope, name))
    }

    pub(crate) fn block_unasked(&mut self) {
        let Some(key) = self.journal.unasked.values().next().cloned() else { return };
        let build = &self.settings.build;
        let message = format!(
            "the journal holds `{key}`, which build `{build}` itself recorded and now does not ask for"
        );
        self.block_difference(&key, message);
    }

    fn block_orphan(&mut self, key: &StepKey) {
        let message = format!(
            "`{key}` is recorded, may have acted, and was never asked for by build `{}`",
            self.settings.build
        );
        self.block_with(codes::ORPHANED_STEP, message, key);
    }

    pub(crate) fn block_difference(&mut self, key: &StepKey, message: String) {
        self.block_with(codes::NONDETERMINISM, message, key);
    }

    fn block_with(&mut self, code: &str, message: String, key: &StepKey) {
        let difference = Some(self.difference());
        self.block(Blocked {
            code: code.to_owned(),
            message,
            hint: CODE_HINT.to_owned(),
            step: Some(key.as_str().to_owned()),
            difference,
            failure: None,
            since: 0,
        });
    }

    pub(crate) fn block_other_sort(&mut self, request: &Request, recorded: String) {
        if self.is_accepted(&request.key) {
            return;
        }
        let difference = Difference { recorded: vec![recorded], asked: vec![request.describe()] };
        self.block(Blocked {
            code: codes::NONDETERMINISM.to_owned(),
            message: format!("`{}` is recorded as another thing than is asked for", request.key),
            hint: CODE_HINT.to_owned(),
            step: Some(request.key.as_str().to_owned()),
            difference: Some(difference),
            failure: None,
            since: 0,
        });
    }

    pub(crate) fn mismatched(
        &mut self,
        request: &Request,
        policy: FingerprintPolicy,
        sides: [&str; 2],
    ) {
        let key = &request.key;
        if policy == FingerprintPolicy::Accept || self.is_accepted(key) {
            return;
        }
        if policy == FingerprintPolicy::Warn {
            tracing::warn!(%key, "asked for with other arguments than recorded");
            return;
        }
        let [recorded, asked] =
            sides.map(|side| format!("{} arguments {side}", request.describe()));
        self.block(Blocked {
            code: codes::FINGERPRINT_MISMATCH.to_owned(),
            message: format!(
                "`{key}` was recorded with other arguments than it is now asked for with"
            ),
            hint: "bring back the arguments, rename the step, or go on with the recorded outcome: \
                   `polos runs resume RUN --accept`"
                .to_owned(),
            step: Some(key.as_str().to_owned()),
            difference: Some(Difference { recorded: vec![recorded], asked: vec![asked] }),
            failure: None,
            since: 0,
        });
    }

    pub(crate) fn block_ambiguous(&mut self, ask: &Ask, key: &StepKey) {
        let name = &ask.name;
        self.block(Blocked {
            code: codes::AMBIGUOUS_STEP_KEY.to_owned(),
            message: format!("a second `{name}` was opened in one scope while the first is open"),
            hint:
                "give each its own name, or put each into `ctx.branch(name, …)` or `ctx.map`; then \
                   `polos runs resume RUN`"
                    .to_owned(),
            step: Some(key.as_str().to_owned()),
            difference: None,
            failure: None,
            since: 0,
        });
    }

    fn difference(&self) -> Difference {
        let recorded = self.journal.unasked.values().take(LINES_MAX);
        let open = self.requests.values().filter(|request| request.outcome.is_none());
        Difference {
            recorded: recorded
                .filter_map(|key| self.journal.slots.get(key).map(|slot| slot.describe(key)))
                .collect(),
            asked: open.take(LINES_MAX).map(Request::describe).collect(),
        }
    }
}
