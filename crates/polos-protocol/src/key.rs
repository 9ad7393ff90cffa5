//! Step keys: paths of names, made by the code's own structure.
//!
//! A key is `scope/scope/name`, where a repeated name gets `#2`, `#3` and so on within its scope.
//! `/`, `#` and `%` inside a name are written `%2F`, `%23` and `%25`, so a path splits one way only.

use std::fmt;
use std::sync::Arc;

/// A step's key within its run. Persisted and sent as text.
#[derive(
    Clone,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    serde::Serialize,
    serde::Deserialize,
    schemars::JsonSchema,
)]
#[serde(transparent)]
pub struct StepKey(Arc<str>);

impl StepKey {
    /// The key of records that belong to the run as a whole.
    pub fn run() -> Self {
        Self("".into())
    }

    /// Takes a key as it was recorded, without a check.
    pub fn from_recorded(text: &str) -> Self {
        Self(text.into())
    }

    /// The key of the `nth` use (from 1) of `name` in the scope `self`.
    #[must_use]
    pub fn child(&self, name: &str, nth: u32) -> Self {
        let mut text = String::with_capacity(self.0.len() + name.len() + 4);
        if !self.0.is_empty() {
            text.push_str(&self.0);
            text.push('/');
        }
        escape_into(&mut text, name);
        if nth > 1 {
            text.push('#');
            text.push_str(&nth.to_string());
        }
        Self(text.into())
    }

    /// The key as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// True if `self` is `scope` or lies under it.
    pub fn is_within(&self, scope: &Self) -> bool {
        scope.0.is_empty()
            || self
                .0
                .strip_prefix(&*scope.0)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

fn escape_into(text: &mut String, name: &str) {
    for character in name.chars() {
        match character {
            '%' => text.push_str("%25"),
            '/' => text.push_str("%2F"),
            '#' => text.push_str("%23"),
            other => text.push(other),
        }
    }
}

impl fmt::Display for StepKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for StepKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_forge_paths() {
        let root = StepKey::run();
        assert_eq!(root.child("a/b", 1).as_str(), "a%2Fb");
        assert_eq!(root.child("a", 1).child("b", 2).as_str(), "a/b#2");
        assert_ne!(root.child("a#2", 1), root.child("a", 2));
    }

    #[test]
    fn a_scope_holds_its_own_and_no_namesake() {
        let scope = StepKey::run().child("fan", 1);
        assert!(scope.child("x", 1).is_within(&scope));
        assert!(!StepKey::run().child("fantasy", 1).is_within(&scope));
        assert!(scope.is_within(&StepKey::run()));
    }
}
