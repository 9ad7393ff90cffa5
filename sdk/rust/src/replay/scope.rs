//! Scopes: the branches of the code, each with counters of its own.

use crate::replay::derive;
use crate::replay::hash::Map;
use polos_protocol::StepKey;
use std::sync::Arc;

/// A scope of one run, in this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ScopeId(pub(crate) u32);

impl ScopeId {
    /// The run's own scope.
    pub const ROOT: Self = Self(0);
}

/// What a scope is to the code around it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScopeKind {
    /// Code that runs in order: the body, or a branch.
    Sequence,
    /// Its branches must all end.
    All,
    /// Its first branch to end decides.
    First,
}

#[derive(Debug)]
pub(crate) struct Scope {
    pub(crate) key: StepKey,
    pub(crate) kind: ScopeKind,
    pub(crate) parent: Option<ScopeId>,
    /// True inside a cleanup: cancellation is not raised here.
    pub(crate) shielded: bool,
    names: Map<Arc<str>, Name>,
    uuids: u64,
    randoms: u64,
}

#[derive(Debug, Default)]
struct Name {
    used: u32,
    open: bool,
}

/// All scopes of a run that still have code in them.
#[derive(Debug)]
pub(crate) struct Scopes {
    scopes: Map<ScopeId, Scope>,
    next: u32,
}

impl Scope {
    fn new(key: StepKey, kind: ScopeKind, parent: Option<ScopeId>, shielded: bool) -> Self {
        Self { key, kind, parent, shielded, names: Map::default(), uuids: 0, randoms: 0 }
    }
}

impl Scopes {
    pub(crate) fn new() -> Self {
        let root = Scope::new(StepKey::run(), ScopeKind::Sequence, None, false);
        Self { scopes: Map::from_iter([(ScopeId::ROOT, root)]), next: 1 }
    }

    /// A scope under `parent`: its name is counted like a step's.
    pub(crate) fn open(&mut self, parent: ScopeId, name: &str, kind: ScopeKind) -> ScopeId {
        let nth = self.count(parent, name);
        let (key, shielded) = self
            .get(parent)
            .map_or((StepKey::run(), false), |scope| (scope.key.child(name, nth), scope.shielded));
        let id = ScopeId(self.next);
        self.next += 1;
        self.scopes.insert(id, Scope::new(key, kind, Some(parent), shielded));
        id
    }

    pub(crate) fn shield(&mut self, id: ScopeId) {
        if let Some(scope) = self.scopes.get_mut(&id) {
            scope.shielded = true;
        }
    }

    pub(crate) fn close(&mut self, id: ScopeId) {
        if id != ScopeId::ROOT {
            self.scopes.remove(&id);
        }
    }

    pub(crate) fn get(&self, id: ScopeId) -> Option<&Scope> {
        self.scopes.get(&id)
    }

    fn count(&mut self, id: ScopeId, name: &str) -> u32 {
        let Some(scope) = self.scopes.get_mut(&id) else { return 1 };
        if let Some(counted) = scope.names.get_mut(name) {
            counted.used += 1;
            return counted.used;
        }
        scope.names.insert(name.into(), Name { used: 1, open: false });
        1
    }

    /// Takes the next key of `name`. The flag is true if one of that name is still open.
    pub(crate) fn take(&mut self, id: ScopeId, name: &Arc<str>) -> (StepKey, bool) {
        let Some(scope) = self.scopes.get_mut(&id) else {
            return (StepKey::run().child(name, 1), false);
        };
        let counted = scope.names.entry(name.clone()).or_default();
        let ambiguous = counted.open;
        counted.used += 1;
        counted.open = true;
        (scope.key.child(name, counted.used), ambiguous)
    }

    /// The key that `name` would have now, counting it.
    pub(crate) fn take_silently(&mut self, id: ScopeId, name: &str) -> StepKey {
        let nth = self.count(id, name);
        self.get(id).map_or_else(StepKey::run, |scope| scope.key.child(name, nth))
    }

    /// The step of that name is not open any more.
    pub(crate) fn release(&mut self, id: ScopeId, name: &str) {
        if let Some(counted) = self.scopes.get_mut(&id).and_then(|s| s.names.get_mut(name)) {
            counted.open = false;
        }
    }

    pub(crate) fn next_uuid(&mut self, id: ScopeId, seed: &str) -> String {
        let Some(scope) = self.scopes.get_mut(&id) else { return String::new() };
        scope.uuids += 1;
        derive::uuid(&derive::chance(seed, scope.key.as_str(), "uuid", scope.uuids))
    }

    pub(crate) fn next_random(&mut self, id: ScopeId, seed: &str) -> u64 {
        let Some(scope) = self.scopes.get_mut(&id) else { return 0 };
        scope.randoms += 1;
        derive::number(&derive::chance(seed, scope.key.as_str(), "random", scope.randoms))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_count_within_their_scope() {
        let mut scopes = Scopes::new();
        let name: Arc<str> = "a".into();
        assert_eq!(scopes.take(ScopeId::ROOT, &name).0.as_str(), "a");
        assert!(scopes.take(ScopeId::ROOT, &name).1, "the first is still open");
        scopes.release(ScopeId::ROOT, "a");
        let (third, ambiguous) = scopes.take(ScopeId::ROOT, &name);
        assert_eq!((third.as_str(), ambiguous), ("a#3", false));
        let branch = scopes.open(ScopeId::ROOT, "left", ScopeKind::Sequence);
        assert_eq!(scopes.take(branch, &name).0.as_str(), "left/a");
        let again = scopes.open(ScopeId::ROOT, "left", ScopeKind::Sequence);
        assert_eq!(scopes.take(again, &name).0.as_str(), "left#2/a");
    }

    #[test]
    fn chance_follows_the_scope() {
        let mut one = Scopes::new();
        let mut two = Scopes::new();
        let branch = two.open(ScopeId::ROOT, "b", ScopeKind::Sequence);
        assert_ne!(one.next_uuid(ScopeId::ROOT, "s"), two.next_uuid(branch, "s"));
        assert_eq!(one.next_random(ScopeId::ROOT, "s"), two.next_random(ScopeId::ROOT, "s"));
        assert_ne!(one.next_random(ScopeId::ROOT, "s"), one.next_random(ScopeId::ROOT, "t"));
    }
}
