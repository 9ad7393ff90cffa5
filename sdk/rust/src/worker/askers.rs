//! Which runs wait for which value: the connection's frames name values by hash only.

use polos_protocol::RunId;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The runs that have asked for values, and those that have sent values to be kept.
#[derive(Debug, Default)]
pub(crate) struct Askers(Mutex<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    fetching: HashMap<Arc<str>, Vec<Asker>>,
    storing: HashMap<Arc<str>, Vec<RunId>>,
}

#[derive(Debug)]
struct Asker {
    run: RunId,
    /// True once the first piece came after it had asked: what comes now makes up the whole.
    begun: bool,
}

impl Askers {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A run asks for a value.
    pub(crate) fn fetch(&self, hash: &Arc<str>, run: RunId) {
        let mut waiting = self.waiting();
        let askers = waiting.fetching.entry(hash.clone()).or_default();
        askers.retain(|asker| asker.run != run);
        askers.push(Asker { run, begun: false });
    }

    /// A run sends a value, or a piece of one.
    pub(crate) fn store(&self, hash: &Arc<str>, run: RunId) {
        let mut waiting = self.waiting();
        let runs = waiting.storing.entry(hash.clone()).or_default();
        if !runs.contains(&run) {
            runs.push(run);
        }
    }

    /// Who is to have a piece. Who asked while a value was under way waits for its own answer.
    pub(crate) fn piece(&self, hash: &str, is_first: bool, is_last: bool) -> Vec<RunId> {
        let mut waiting = self.waiting();
        let Some(askers) = waiting.fetching.get_mut(hash) else { return Vec::new() };
        for asker in askers.iter_mut() {
            asker.begun |= is_first;
        }
        let runs = askers.iter().filter(|asker| asker.begun).map(|asker| asker.run).collect();
        if is_last {
            askers.retain(|asker| !asker.begun);
        }
        if askers.is_empty() {
            waiting.fetching.remove(hash);
        }
        runs
    }

    /// Who waits to hear that a value is kept.
    pub(crate) fn kept(&self, hash: &str) -> Vec<RunId> {
        self.waiting().storing.remove(hash).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_asks_while_a_value_is_under_way_has_its_own_answer() {
        let askers = Askers::default();
        let hash: Arc<str> = "h".into();
        let [first, second] = [1, 2].map(|n| RunId::from_bytes([n; 16]));
        askers.fetch(&hash, first);
        assert_eq!(askers.piece("h", true, false), [first]);
        askers.fetch(&hash, second);
        assert_eq!(askers.piece("h", false, true), [first]);
        assert_eq!(askers.piece("h", true, false), [second]);
        assert_eq!(askers.piece("h", false, true), [second]);
        assert!(askers.waiting().fetching.is_empty());
    }

    #[test]
    fn who_asked_before_the_first_piece_shares_the_answer() {
        let askers = Askers::default();
        let hash: Arc<str> = "h".into();
        let [first, second] = [1, 2].map(|n| RunId::from_bytes([n; 16]));
        askers.fetch(&hash, first);
        askers.fetch(&hash, second);
        assert_eq!(askers.piece("h", true, true), [first, second]);
        assert!(askers.piece("h", true, true).is_empty());
    }

    #[test]
    fn a_value_that_is_kept_leaves_those_who_fetch_it_waiting() {
        let askers = Askers::default();
        let hash: Arc<str> = "h".into();
        let [first, second] = [1, 2].map(|n| RunId::from_bytes([n; 16]));
        askers.fetch(&hash, first);
        askers.store(&hash, second);
        assert_eq!(askers.kept("h"), [second]);
        assert_eq!(askers.piece("h", true, true), [first]);
    }
}
