//! Wait trees: what must come true before a run goes on.

use crate::{Millis, StepKey, limits};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a run waits for. The leaves name opened waits (journal records of kind `open`) by key,
/// or a bare time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Wait {
    /// The opened wait under this key has an outcome.
    Key(StepKey),
    /// This time has come (a retry's backoff).
    Until(Millis),
    /// One of them has come true with a value, or all have come true.
    Any(Vec<Self>),
    /// All of them have come true.
    All(Vec<Self>),
    /// One of them has come true, with a value or with an error.
    First(Vec<Self>),
}

/// How a leaf stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leaf {
    /// Nothing yet.
    Pending,
    /// It has a value.
    Value,
    /// It has an error.
    Error,
}

impl Wait {
    /// Whether the tree is true at `now`, asking `leaf` how each key stands.
    pub fn is_true(&self, now: Millis, leaf: &mut impl FnMut(&StepKey) -> Leaf) -> bool {
        self.stand(now, leaf) != Leaf::Pending
    }

    fn stand(&self, now: Millis, leaf: &mut impl FnMut(&StepKey) -> Leaf) -> Leaf {
        match self {
            Self::Key(key) => leaf(key),
            Self::Until(at) if *at <= now => Leaf::Value,
            Self::Until(_) => Leaf::Pending,
            Self::First(waits) => waits
                .iter()
                .map(|w| w.stand(now, leaf))
                .find(|s| *s != Leaf::Pending)
                .unwrap_or(Leaf::Pending),
            Self::All(waits) => all(waits.iter().map(|w| w.stand(now, leaf))),
            Self::Any(waits) => any(waits.iter().map(|w| w.stand(now, leaf))),
        }
    }

    /// Whether the tree can ever be true, asking `leaf` whether a key has or can have an outcome.
    pub fn can_end(&self, leaf: &impl Fn(&StepKey) -> bool) -> bool {
        match self {
            Self::Key(key) => leaf(key),
            Self::Until(_) => true,
            Self::All(waits) => waits.iter().all(|wait| wait.can_end(leaf)),
            Self::Any(waits) | Self::First(waits) => waits.iter().any(|wait| wait.can_end(leaf)),
        }
    }

    /// Calls `visit` for every leaf.
    pub fn leaves<'a>(&'a self, visit: &mut impl FnMut(&'a Self)) {
        match self {
            Self::Key(_) | Self::Until(_) => visit(self),
            Self::Any(waits) | Self::All(waits) | Self::First(waits) => {
                for wait in waits {
                    wait.leaves(visit);
                }
            }
        }
    }

    /// The earliest bare time among the leaves.
    pub fn until_min(&self) -> Option<Millis> {
        let mut earliest = None;
        self.leaves(&mut |leaf| {
            if let Self::Until(at) = leaf {
                earliest = Some(earliest.map_or(*at, |e: Millis| e.min(*at)));
            }
        });
        earliest
    }

    /// Whether the tree keeps the limits on depth and leaves.
    pub fn is_within_limits(&self) -> bool {
        let mut count = 0;
        self.leaves(&mut |_| count += 1);
        count <= limits::WAIT_LEAVES_MAX && self.depth() <= limits::WAIT_DEPTH_MAX
    }

    fn depth(&self) -> usize {
        match self {
            Self::Key(_) | Self::Until(_) => 1,
            Self::Any(waits) | Self::All(waits) | Self::First(waits) => {
                1 + waits.iter().map(Self::depth).max().unwrap_or(0)
            }
        }
    }
}

fn all(stands: impl Iterator<Item = Leaf>) -> Leaf {
    stands.fold(Leaf::Value, |whole, one| match (whole, one) {
        (Leaf::Pending, _) | (_, Leaf::Pending) => Leaf::Pending,
        (Leaf::Error, _) | (_, Leaf::Error) => Leaf::Error,
        _ => Leaf::Value,
    })
}

fn any(stands: impl Iterator<Item = Leaf>) -> Leaf {
    let (mut pending, mut empty) = (false, true);
    for stand in stands {
        empty = false;
        match stand {
            Leaf::Value => return Leaf::Value,
            Leaf::Pending => pending = true,
            Leaf::Error => {}
        }
    }
    if pending || empty { Leaf::Pending } else { Leaf::Error }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> Wait {
        Wait::Key(StepKey::run().child(name, 1))
    }

    fn check(wait: &Wait, now: Millis, expect: bool) {
        let stands = |k: &StepKey| match k.as_str() {
            "ok" => Leaf::Value,
            "err" => Leaf::Error,
            _ => Leaf::Pending,
        };
        assert_eq!(wait.is_true(now, &mut { stands }), expect, "{wait:?}");
    }

    #[test]
    fn trees_come_true() {
        check(&key("ok"), 0, true);
        check(&key("open"), 0, false);
        check(&Wait::Until(5), 4, false);
        check(&Wait::Until(5), 5, true);
        check(&Wait::All(vec![key("ok"), key("err")]), 0, true);
        check(&Wait::All(vec![key("ok"), key("open")]), 0, false);
        check(&Wait::First(vec![key("open"), key("err")]), 0, true);
        check(&Wait::Any(vec![key("open"), key("err")]), 0, false);
        check(&Wait::Any(vec![key("err"), key("err")]), 0, true);
        check(&Wait::Any(vec![]), 0, false);
        check(&Wait::All(vec![Wait::First(vec![key("ok"), key("open")]), Wait::Until(9)]), 9, true);
    }

    #[test]
    fn the_text_form_is_stable() {
        let wait = Wait::First(vec![key("a"), Wait::Until(7)]);
        assert_eq!(serde_json::to_string(&wait).unwrap(), r#"{"first":[{"key":"a"},{"until":7}]}"#);
    }
}
