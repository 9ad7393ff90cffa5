//! Who listens to a run: long-polls and event streams are woken after a commit that changed it.

use polos_protocol::{Namespace, RunId};
use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::watch;

type Key = (Namespace, RunId);

/// The listeners of all runs. Clones share them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Changes(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    runs: Mutex<HashMap<Key, watch::Sender<u64>>>,
    /// How many runs have listeners: spares the lock when nobody listens.
    count: AtomicUsize,
}

/// One listener to one run.
#[derive(Debug)]
pub(crate) struct Listener {
    changes: Changes,
    key: Key,
    seen: watch::Receiver<u64>,
}

impl Changes {
    /// Listens from now on: subscribe first, read then, so that nothing is missed between.
    pub(crate) fn listen(&self, namespace: &Namespace, run: RunId) -> Listener {
        let key = (namespace.clone(), run);
        let mut runs = self.0.runs.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = runs.entry(key.clone()).or_insert_with(|| watch::Sender::new(0)).subscribe();
        self.0.count.store(runs.len(), Ordering::Release);
        Listener { changes: self.clone(), key, seen }
    }

    /// Wakes the listeners of a run.
    pub(crate) fn notify(&self, namespace: Namespace, run: RunId) {
        if self.0.count.load(Ordering::Acquire) == 0 {
            return;
        }
        let runs = self.0.runs.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sender) = runs.get(&(namespace, run)) {
            sender.send_modify(|count| *count += 1);
        }
    }
}

impl Listener {
    /// Returns when the run has changed since the last call.
    pub(crate) async fn changed(&mut self) {
        if self.seen.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let mut runs = self.changes.0.runs.lock().unwrap_or_else(PoisonError::into_inner);
        if runs.get(&self.key).is_some_and(|sender| sender.receiver_count() <= 1) {
            runs.remove(&self.key);
        }
        self.changes.0.count.store(runs.len(), Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    #[test]
    fn a_listener_hears_what_came_after_it_and_leaves_nothing_behind() {
        let changes = Changes::default();
        let (namespace, run) = (Namespace::default(), RunId::from_parts(1, [0; 10]));
        changes.notify(namespace.clone(), run);
        let mut listener = changes.listen(&namespace, run);
        assert!(listener.changed().now_or_never().is_none());
        changes.notify(namespace.clone(), run);
        assert!(listener.changed().now_or_never().is_some());
        assert!(listener.changed().now_or_never().is_none());
        drop(listener);
        assert_eq!(changes.0.count.load(Ordering::Acquire), 0);
    }
}
