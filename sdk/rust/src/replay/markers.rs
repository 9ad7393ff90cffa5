//! What the code declares: patches, removals, cleanup.

use crate::replay::{Machine, ScopeId};
use polos_protocol::StepKey;
use polos_protocol::record::Marker;

impl Machine {
    /// True if this call was true before, or if nothing recorded lies ahead of the code: then it
    /// is marked. A call that was false stays false, since each call has its own place.
    pub fn patched(&mut self, scope: ScopeId, id: &str) -> bool {
        let key = self.scopes.take_silently(scope, &format!("patched {id}"));
        if self.journal.patched.contains(&key) {
            return true;
        }
        if self.is_replaying() || !self.journal.unasked.is_empty() || !self.is_running() {
            return false;
        }
        self.journal.patched.insert(key.clone());
        self.submit_marker(key, &Marker::Patched(id.to_owned()));
        true
    }

    /// Declares that recorded steps of this name in this scope are not asked for any more.
    pub fn removed(&mut self, scope: ScopeId, name: &str) {
        let scope = self.scopes.get(scope).map_or_else(StepKey::run, |scope| scope.key.clone());
        if self.drop_removed(&scope, name) {
            self.submit_marker(scope, &Marker::Removed(name.to_owned()));
        }
    }

    /// A scope in which steps run even though the run is being cancelled.
    pub fn open_cleanup(&mut self, parent: ScopeId) -> ScopeId {
        let id = self.scopes.open(parent, "cleanup", crate::replay::ScopeKind::Sequence);
        self.scopes.shield(id);
        if self.cancel.is_some() {
            let key = self.scopes.get(id).map_or_else(StepKey::run, |scope| scope.key.clone());
            if self.journal.noted.insert(format!("cleanup {key}")) {
                self.submit_marker(key, &Marker::Cleanup);
            }
        }
        id
    }
}
