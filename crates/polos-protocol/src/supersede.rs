//! Which records a retry has taken back: one rule, used by engine, server and tools alike.

use crate::record::ResetDetail;
use crate::{Kind, Record, StepKey};
use std::collections::{BTreeMap, BTreeSet};

/// What the rule needs to know of a record.
#[derive(Debug, Clone, Copy)]
pub struct Mark<'a> {
    /// Its place.
    pub seq: u64,
    /// What it is about.
    pub kind: Kind,
    /// The step's key.
    pub key: &'a StepKey,
    /// What a `reset` record says.
    pub reset: Option<&'a ResetDetail>,
}

/// The places of the superseded records of one journal.
///
/// A reset takes back what was recorded from `from_seq` on (with `only`: what stands under
/// `from_key`), except for the outcome of a wait that was opened before: that stays as it came. Of a
/// `once` step that may act again, all is taken back: its intent may stand before `from_seq`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Superseded(BTreeSet<u64>);

impl Superseded {
    /// Applies the rule to all records of a journal, oldest first.
    pub fn of<'a>(marks: impl Iterator<Item = Mark<'a>>) -> Self {
        let mut standing: BTreeMap<u64, (Kind, &'a StepKey)> = BTreeMap::new();
        let mut gone = BTreeSet::new();
        for mark in marks {
            if let Some(reset) = mark.reset {
                let taken = taken_back(&standing, reset);
                for seq in &taken {
                    standing.remove(seq);
                }
                gone.extend(taken);
            } else {
                standing.insert(mark.seq, (mark.kind, mark.key));
            }
        }
        Self(gone)
    }

    /// Applies the rule to whole records, oldest first.
    pub fn of_records(records: &[Record]) -> Self {
        let resets: Vec<Option<ResetDetail>> = records
            .iter()
            .map(|r| if r.kind() == Kind::Reset { r.record.detail().ok() } else { None })
            .collect();
        Self::of(records.iter().zip(&resets).map(|(record, reset)| Mark {
            seq: record.seq,
            kind: record.kind(),
            key: record.key(),
            reset: reset.as_ref(),
        }))
    }

    /// True if the record at this place is superseded.
    pub fn contains(&self, seq: u64) -> bool {
        self.0.contains(&seq)
    }

    /// True if nothing is superseded.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

fn taken_back(standing: &BTreeMap<u64, (Kind, &StepKey)>, reset: &ResetDetail) -> Vec<u64> {
    let opened_before: BTreeSet<&StepKey> = standing
        .range(..reset.from_seq)
        .filter(|(_, (kind, _))| *kind == Kind::Open)
        .map(|(_, (_, key))| *key)
        .collect();
    standing
        .iter()
        .filter(|(seq, (kind, key))| {
            let in_range = **seq >= reset.from_seq;
            if reset.only {
                return in_range && **key == reset.from_key;
            }
            if reset.again.iter().any(|again| key.is_within(again)) {
                return true;
            }
            let outcome_of_kept = *kind == Kind::Resolved && opened_before.contains(key);
            in_range && !outcome_of_kept && !matches!(kind, Kind::Verb)
        })
        .map(|(seq, _)| *seq)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(journal: &[(Kind, &str)], reset: (u64, &str, bool), expect: &[u64]) {
        let keys: Vec<StepKey> =
            journal.iter().map(|(_, key)| StepKey::from_recorded(key)).collect();
        let detail = ResetDetail {
            from_seq: reset.0,
            from_key: StepKey::from_recorded(reset.1),
            only: reset.2,
            again: vec![],
            key_generation: 0,
            by: "test".into(),
        };
        let run = StepKey::run();
        let marks = journal
            .iter()
            .zip(&keys)
            .zip(1..)
            .map(|(((kind, _), key), seq)| Mark { seq, kind: *kind, key, reset: None })
            .chain([Mark { seq: 99, kind: Kind::Reset, key: &run, reset: Some(&detail) }]);
        assert_eq!(Superseded::of(marks).0.into_iter().collect::<Vec<_>>(), expect);
    }

    #[test]
    fn a_once_step_that_may_act_again_is_taken_back_whole() {
        let keys = ["pay", "a", "pay/settle", "pay"].map(StepKey::from_recorded);
        let kinds = [Kind::Intent, Kind::Step, Kind::Open, Kind::Step];
        let taken = |again: Vec<StepKey>| {
            let detail = ResetDetail {
                from_seq: 2,
                from_key: keys[1].clone(),
                only: false,
                again,
                key_generation: 0,
                by: "test".into(),
            };
            let run = StepKey::run();
            let marks = (1..).zip(kinds).zip(&keys);
            let marks = marks.map(|((seq, kind), key)| Mark { seq, kind, key, reset: None });
            let reset = Mark { seq: 5, kind: Kind::Reset, key: &run, reset: Some(&detail) };
            Superseded::of(marks.chain([reset])).0.into_iter().collect::<Vec<_>>()
        };
        assert_eq!(taken(vec![]), [2, 3, 4]);
        assert_eq!(taken(vec![keys[0].clone()]), [1, 2, 3, 4]);
    }

    #[test]
    fn a_retry_takes_back_what_follows() {
        let journal = [
            (Kind::Step, "a"),
            (Kind::Open, "t"),
            (Kind::Step, "b"),
            (Kind::Resolved, "t"),
            (Kind::Step, "c"),
        ];
        check(&journal, (3, "b", false), &[3, 5]);
        check(&journal, (1, "a", false), &[1, 2, 3, 4, 5]);
        check(&journal, (3, "b", true), &[3]);
    }
}
